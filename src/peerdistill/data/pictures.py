"""From a picture file to pixels, the same way for training, evaluation and a deployed model. Free of PyTorch."""

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
from jaxtyping import UInt8
from PIL import ExifTags, Image, UnidentifiedImageError, features

from peerdistill.data.repairs import with_its_end, without_metadata
from peerdistill.errors import PeerdistillWarning, UserError

# What Pillow may read, and how such files are called. Only raster formats: it would hand PostScript to Ghostscript.
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
"""Without which Pillow was built in some places."""

MOST_PIXELS = 2**28
"""Larger pictures are refused."""

MANY_PIXELS = 2**26
"""Larger pictures are shrunk by a whole factor as soon as they are decoded, to an eighth of this or a bit more."""

MOST_BYTES = 2**30
"""Larger picture files are refused."""

PILLOW_MODES = {1: "L", 3: "RGB"}
"""By the number of channels."""

# White may be 4095 (12 bits) or 65535 in integers of more than 8 bits; floats do not say whether it is 1, 255 or 65535.
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
"""By the orientation in EXIF."""

_MOST_WARNINGS = 5


@cache
def picture_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read here."""
    known = {*features.modules, *features.codecs}
    lacking = {name for name, library in _LIBRARIES.items() if library not in known or not features.check(library)}
    return tuple(name for name in _SUFFIXES if name not in lacking)


@cache
def picture_suffixes() -> tuple[str, ...]:
    """Return the lower-case endings of the files that count as pictures, those of `picture_formats`."""
    return tuple(suffix for name in picture_formats() for suffix in _SUFFIXES[name])


def open_picture(path: str | Path) -> Image.Image:
    """Return the picture in ``path`` completely decoded, upright (EXIF) and in mode RGB.

    Transparent pixels are laid over white. Grey values of more than 8 bits are scaled so that white stays white:
    integers from 0..4095 or 0..65535, floats from 0..1, 0..255 or 0..65535, the first that holds the brightest pixel.
    Of an animation it is the first frame.

    A picture of more than 67 megapixels (`MANY_PIXELS`) is shrunk by a whole factor at once, to 8 to 19 megapixels.
    It is the same for every use, so training, evaluation and a deployed leader see the same; memory stays bounded.

    Raises:
        UserError: The file is absent, no regular file or no picture, damaged, cut short, or too large.
    """
    return read_picture(picture_bytes(path), str(path))


def picture_bytes(path: str | Path) -> bytes:
    """Return what is in a picture file, for `read_picture`.

    Raises:
        UserError: The file is absent, no regular file, too large, or can't be read.
    """
    try:
        _check_regular(Path(path).stat(), path)  # opening a pipe or a device may wait, or do something
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as opened:
            _check_regular(os.fstat(opened.fileno()), path)
            return opened.read(MOST_BYTES)
    except UserError:
        raise
    except Exception as error:  # a path with a NUL character is a ValueError, for example
        raise _unreadable(str(path), error) from error


def _check_regular(found: os.stat_result, path: str | Path) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise unreadable(str(path), "is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise unreadable(str(path), "it is no regular file")
    if found.st_size > MOST_BYTES:
        raise unreadable(str(path), f"it has {found.st_size} bytes, at most {MOST_BYTES} are read")


def read_picture(content: bytes, name: str) -> Image.Image:
    """Return a picture as `open_picture` does, from the content of its file; errors call it ``name``."""
    try:
        return _decoded(content, name)
    except UserError:
        raise
    # On damaged bytes Pillow's decoders raise almost anything: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        repaired = _repaired(content, name)
        if repaired is None:
            raise _unreadable(name, error) from error
        return repaired


def _repaired(content: bytes, name: str) -> Image.Image | None:
    """Return a picture whose pixels are all there although Pillow refuses its file, None for another one."""
    try:
        bare = without_metadata(content)
        if bare is not None:
            return _decoded(bare, name)
        return with_its_end(content, lambda whole: _decoded(whole, name))
    except Exception:  # as above; the first error says more
        return None


def _decoded(content: bytes, name: str) -> Image.Image:
    with _named_warnings(name):
        picture = Image.open(BytesIO(content), formats=picture_formats())
    with picture:
        many = picture.width * picture.height > MANY_PIXELS
        if many and picture.format in ("JPEG", "MPO"):  # libjpeg shrinks by up to 8 while it decodes
            factor = _shrinkage(picture)
            picture.draft(picture.mode, (picture.width // factor, picture.height // factor))
        if picture.width * picture.height > MOST_PIXELS:
            size = f"{picture.width} x {picture.height} pixels"
            raise unreadable(name, f"it has {size}, at most {MOST_PIXELS // 10**6} megapixels are decoded: shrink it")
        with _one_at_a_time if many else nullcontext():
            picture.load()
            with _named_warnings(name):
                transposition = _UPRIGHT.get(_orientation(picture))
            shrunk = _shrunk(picture) if many else picture
            return _to_rgb(shrunk if transposition is None else shrunk.transpose(transposition))


_one_at_a_time = threading.Lock()
_opening = threading.Lock()
_warnings_told: set[str] = set()


@contextmanager
def _named_warnings(name: str) -> Iterator[None]:
    """Let Pillow's warnings name the picture, and sizes be checked by us alone."""
    with _opening:  # both settings are the process's
        most, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                yield
        finally:
            Image.MAX_IMAGE_PIXELS = most
    for warning in caught:
        _tell(f"picture '{name}': {' '.join(str(warning.message).split())}")


def _tell(sentence: str) -> None:
    if sentence in _warnings_told or len(_warnings_told) > _MOST_WARNINGS:
        return
    _warnings_told.add(sentence)
    if len(_warnings_told) > _MOST_WARNINGS:
        sentence = "Pillow's warnings of further pictures are not shown"
    warnings.warn(sentence, PeerdistillWarning, stacklevel=2)


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata say nothing; the pixels are sound
        return 1


def _shrinkage(picture: Image.Image) -> int:
    return int((picture.width * picture.height / (MANY_PIXELS / 8)) ** 0.5)


def _shrunk(picture: Image.Image) -> Image.Image:
    factor = _shrinkage(picture)
    if factor < 2:
        return picture
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    elif picture.mode == "1":
        picture = picture.convert("L")
    elif picture.mode.startswith("I;"):
        picture = picture.convert("I")
    return picture.reduce(factor)


def fit(picture: Image.Image, size: int, channels: int, crop: float) -> UInt8[np.ndarray, "{size} {size} {channels}"]:
    """Return the central square of ``picture`` at ``size`` x ``size`` pixels.

    The result is that of shrinking (or enlarging) the shorter side to ``size / crop`` pixels with antialiased bilinear
    filtering and cutting ``size`` x ``size`` from the centre. Only the pixels that are kept are computed, so a
    strip of any length costs no more memory than a square. With ``crop`` 1 a picture that has the size stays as it is.

    Args:
        picture: Any picture in mode RGB, such as from `open_picture`.
        size: Side of the result in pixels.
        channels: 1 for grey, 3 for RGB.
        crop: Part of the shorter side that is kept, above 0 and at most 1.
    """
    if picture.mode != PILLOW_MODES[channels]:
        picture = picture.convert(PILLOW_MODES[channels])
    width, height = picture.size
    shorter = round(size / crop)
    left, right = _central_part(width, size, round(shorter * width / min(width, height)))
    upper, lower = _central_part(height, size, round(shorter * height / min(width, height)))
    square = picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, upper, right, lower))
    return np.array(square).reshape(size, size, channels)


def _central_part(side: int, size: int, resized: int) -> tuple[float, float]:
    """Return where the central ``size`` of ``resized`` pixels begin and end on the ``side`` that is resized."""
    offset = (resized - size) // 2
    return offset * side / resized, (offset + size) * side / resized


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


def _unreadable(name: str, error: Exception) -> UserError:
    if isinstance(error, UnidentifiedImageError):
        return unreadable(name, "it is no picture")
    if isinstance(error, OSError) and error.strerror:
        return unreadable(name, error.strerror.lower())
    return unreadable(name, " ".join(str(error).split()) or type(error).__name__)
