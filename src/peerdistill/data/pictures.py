"""From a picture file to pixels, the same way for training, evaluation and a deployed model. Free of PyTorch."""

from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from peerdistill.errors import UserError

PICTURE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Lower-case endings of the files that count as pictures; others in a folder are ignored."""

PILLOW_MODES = {1: "L", 3: "RGB"}
"""By the number of channels."""

# White may be 65535 in integers of more than 8 bits; in floats nothing says whether it is 1, 255 or 65535.
_WHITE_LEVELS = {"I": (65535.0,), "F": (1.0, 255.0, 65535.0)}


def open_picture(path: str | Path) -> Image.Image:
    """Return the picture in ``path`` completely decoded, upright (EXIF) and in mode RGB.

    Transparent pixels are laid over white. Grey values of more than 8 bits are scaled so that white stays white:
    16-bit integers from 0..65535; floats from 0..1, 0..255 or 0..65535, the first that holds the brightest pixel.
    Of an animation it is the first frame.

    Raises:
        UserError: The file is absent, is no picture, or is damaged or cut short.
    """
    return read_picture(path, str(path))


def read_picture(source: str | Path | BytesIO, name: str) -> Image.Image:
    """Return a picture as `open_picture` does, from a file that may be open already; errors call it ``name``."""
    try:
        with Image.open(source) as picture:
            return _to_rgb(ImageOps.exif_transpose(picture))
    # On damaged bytes Pillow's decoders raise almost anything: OSError, SyntaxError, struct.error, ValueError, ...
    except Exception as error:
        raise _unreadable(name, error) from error


def picture_bytes(path: str | Path) -> bytes:
    """Return what is in a picture file, for `read_picture`.

    Raises:
        UserError: The file is absent or can't be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(str(path), error) from error


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


def _unreadable(name: str, error: Exception) -> UserError:
    return UserError(f"cannot read picture '{name}': {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is no picture"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error) or type(error).__name__
