"""Decode a picture file to RGB pixels, identically for training, evaluation and a deployed model. Free of PyTorch."""

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

from peerdistill.data.images.repairs import with_its_end, without_metadata
from peerdistill.errors import PeerdistillWarning, UserError, cause

# The formats that Pillow may decode, with their file suffixes. Raster formats only: Pillow would pass PostScript to
# Ghostscript.
_SUFFIXES = {
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpeg", ".jpg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "PPM": (".pbm", ".pgm", ".pnm", ".ppm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "AVIF": (".avif",),
    "TGA": (".tga",),
}
_LIBRARIES = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}
"""Optional libraries of Pillow: some builds lack them."""

MOST_PIXELS = 2**28
"""Larger pictures are refused."""

MANY_PIXELS = 2**26
"""Larger pictures are reduced by an integer factor while they are decoded, to about an eighth of this many pixels."""

MOST_BYTES = 2**30
"""Larger files are refused."""

# POSIX: do not wait for the writer of a pipe. Windows: do not translate line endings.
_READ_ONLY = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

# Value of white: 4095 (12 bits) or 65535 in integers of more than 8 bits. Float pictures do not say whether it is 1,
# 255 or 65535.
_WHITE_LEVELS = {"I": (4095.0, 65535.0), "F": (1.0, 255.0, 65535.0)}

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation."""

# ISO/IEC 23008-12, annex B; phones give such files the suffix .jpg when they are shared.
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

_MOST_WARNINGS = 5


@cache
def picture_formats() -> tuple[str, ...]:
    """Return the formats that can be decoded here, by Pillow's names."""
    known = {*features.modules, *features.codecs}
    missing = {name for name, library in _LIBRARIES.items() if library not in known or not features.check(library)}
    return tuple(name for name in _SUFFIXES if name not in missing)


@cache
def picture_suffixes() -> tuple[str, ...]:
    """Return the lower-case suffixes of the files that count as pictures."""
    return tuple(suffix for name in picture_formats() for suffix in _SUFFIXES[name])


def open_picture(path: str | Path) -> Image.Image:
    """Return the decoded picture in ``path``, upright (EXIF orientation applied) and in mode RGB.

    Transparent pixels are composited on white. Grey values of more than 8 bits are scaled to 0..255: integers from
    0..4095 or 0..65535, floats from 0..1, 0..255 or 0..65535, the smallest range that holds the brightest pixel. Of an
    animation, the first frame is returned.

    A picture of more than 67 megapixels (`MANY_PIXELS`) is reduced by an integer factor to 8 to 19 megapixels, which
    bounds memory. Training, evaluation and a deployed leader all see the same reduced picture.

    Raises:
        UserError: The file does not exist, is not a regular file or not a picture, is damaged, truncated or too large.
    """
    return read_picture(picture_bytes(path), str(path))


def picture_bytes(path: str | Path) -> bytes:
    """Return the content of a picture file, for :func:`read_picture`.

    Raises:
        UserError: The file does not exist, is not a regular file, is too large or can't be read.
    """
    try:
        _check_regular(Path(path).stat(), path)  # opening a pipe or a device may block or have side effects
        with os.fdopen(os.open(path, _READ_ONLY), "rb") as opened:
            _check_regular(os.fstat(opened.fileno()), path)
            return opened.read(MOST_BYTES)
    except UserError:
        raise
    except Exception as error:  # for example a ValueError for a path with a NUL character
        raise _unreadable(str(path), error) from error


def _check_regular(found: os.stat_result, path: str | Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise unreadable(str(path), "it is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise unreadable(str(path), "it is not a regular file")
    if found.st_size > MOST_BYTES:
        raise unreadable(str(path), f"it has {found.st_size} bytes, the limit is {MOST_BYTES}")


def read_picture(content: bytes, name: str, sufficient: int | None = None) -> Image.Image:
    """Return the decoded picture of a file's content, as :func:`open_picture` does.

    Args:
        content: The bytes of the file.
        name: Name of the file in error messages.
        sufficient: A JPEG picture may be reduced while it is decoded (Pillow's ``draft``), as long as its shorter side
            has at least this many pixels. That takes a third of the time for 12 megapixels, and changes pixels
            slightly. None: it is decoded at its full size.

    Raises:
        UserError: As :func:`open_picture`.
    """
    try:
        return _decoded(content, name, sufficient)
    except UserError:
        raise
    # On damaged bytes Pillow's decoders raise almost anything: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        repaired = _repaired(content, name, sufficient)
        if repaired is None:
            raise _unreadable(name, error, content) from error
        return repaired


def _repaired(content: bytes, name: str, sufficient: int | None) -> Image.Image | None:
    """Return the picture if its pixels are complete although Pillow refuses the file, else None."""
    try:
        bare = without_metadata(content)
        if bare is not None:
            return _decoded(bare, name, sufficient)
        return with_its_end(content, lambda whole: _decoded(whole, name, sufficient))
    except Exception:  # see above; the first error is the informative one
        return None


def _decoded(content: bytes, name: str, sufficient: int | None) -> Image.Image:
    with _named_warnings(name):
        picture = Image.open(BytesIO(content), formats=picture_formats())
    with picture:
        many = picture.width * picture.height > MANY_PIXELS
        if picture.format in ("JPEG", "MPO"):  # libjpeg reduces by up to 8 while it decodes
            factor = _reduction(picture) if many else _most_reduction(picture, sufficient)
            if factor > 1:
                picture.draft(picture.mode, (picture.width // factor, picture.height // factor))
        if picture.width * picture.height > MOST_PIXELS:
            size = f"{picture.width} x {picture.height} pixels"
            raise unreadable(name, f"it has {size}, the limit is {MOST_PIXELS // 10**6} megapixels: reduce its size")
        with _one_at_a_time if many else nullcontext():
            picture.load()
            with _named_warnings(name):
                transposition = _UPRIGHT.get(_orientation(picture))
            reduced = _reduced(picture) if many else picture
            return _to_rgb(reduced if transposition is None else reduced.transpose(transposition))


_one_at_a_time = threading.Lock()
_opening = threading.Lock()
_warnings_shown: set[str] = set()


@contextmanager
def _named_warnings(name: str) -> Iterator[None]:
    """Add the picture's name to Pillow's warnings, and turn off Pillow's own size limit: ours replaces it."""
    with _opening:  # both settings are global to the process
        most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            Image.MAX_IMAGE_PIXELS = most
    for warning in caught:
        if not issubclass(warning.category, ResourceWarning):  # another object was collected at this moment
            _warn_once(f"picture '{name}': {' '.join(str(warning.message).split())}")


def _warn_once(sentence: str) -> None:
    if sentence in _warnings_shown or len(_warnings_shown) > _MOST_WARNINGS:
        return
    _warnings_shown.add(sentence)
    if len(_warnings_shown) > _MOST_WARNINGS:
        sentence = "further warnings of Pillow about pictures are not shown"
    warnings.warn(sentence, PeerdistillWarning, stacklevel=2)


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata; the pixels are intact
        return 1


def _most_reduction(picture: Image.Image, sufficient: int | None) -> int:
    return 1 if sufficient is None else min(picture.size) // sufficient


def _reduction(picture: Image.Image) -> int:
    return int((picture.width * picture.height / (MANY_PIXELS / 8)) ** 0.5)


def _reduced(picture: Image.Image) -> Image.Image:
    factor = _reduction(picture)
    if factor < 2:
        return picture
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode.startswith("I;"):
        picture = picture.convert("I")
    return picture.reduce(factor)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode[0] in _WHITE_LEVELS:
        picture = _to_8_bits(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _to_8_bits(picture: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64), posinf=0, neginf=0).clip(min=0)
    brightest = values.max()
    white = next((level for level in _WHITE_LEVELS[picture.mode[0]] if brightest <= level), brightest)
    return Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))


def unreadable(name: str, reason: str) -> UserError:
    """Return the error for a picture that can't be read."""
    return UserError(f"cannot read picture '{name}': {reason}")


def _unreadable(name: str, error: Exception, content: bytes = b"") -> UserError:
    if not isinstance(error, UnidentifiedImageError):
        return unreadable(name, cause(error))
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC_BRANDS:
        return unreadable(name, "it is a HEIC picture, which cannot be decoded: convert it to JPEG or PNG")
    return unreadable(name, "it is not a picture" if content else "it is empty")
