"""Preprocessing of decoded pictures: the crop that evaluation uses, and the resized pictures that training crops.

Preprocessing is deterministic. Importing this module does not import PyTorch.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from peerdistill.data.config import Interpolation

Pixels = UInt8[np.ndarray, "height width channels"]

PILLOW_MODES = {1: "L", 3: "RGB"}
"""By number of channels."""

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
INTERPOLATIONS = tuple(_FILTERS)
"""Names of the filters with which pictures are resized; all are antialiased."""


@dataclass(frozen=True)
class EvalCrop:
    """The central square crop that evaluation uses, see :func:`fit`.

    Attributes:
        size: Side of the square in pixels.
        channels: 1 for grey, 3 for RGB.
        crop: Fraction of the shorter side that is kept, above 0 and at most 1.
        interpolation: Filter for resizing, one of `INTERPOLATIONS`.
    """

    size: int
    channels: int
    crop: float
    interpolation: Interpolation = "bilinear"

    def __call__(self, picture: Image.Image) -> Pixels:
        """Return the square."""
        return fit(picture, self.size, self.channels, self.crop, self.interpolation)


@dataclass(frozen=True)
class Resized:
    """The whole picture with its shorter side reduced to ``shorter`` pixels; training takes random crops of it.

    Attributes:
        shorter: Largest length of the shorter side in pixels. Smaller pictures keep their size.
        channels: 1 for grey, 3 for RGB.
        interpolation: Filter for resizing, one of `INTERPOLATIONS`.
    """

    shorter: int
    channels: int
    interpolation: Interpolation = "bilinear"

    def __call__(self, picture: Image.Image) -> Pixels:
        """Return the picture."""
        if picture.mode != PILLOW_MODES[self.channels]:
            picture = picture.convert(PILLOW_MODES[self.channels])
        pixels = np.array(picture).reshape(picture.height, picture.width, self.channels)
        scale = self.shorter / min(picture.size)
        if scale >= 1:
            return pixels
        import torch

        from peerdistill.data.images.resize import resize

        size = (round(picture.height * scale), round(picture.width * scale))
        return resize(torch.from_numpy(pixels).permute(2, 0, 1), size, self.interpolation).permute(1, 2, 0).numpy()


Preprocess = EvalCrop | Resized
"""The preprocessing of a decoded picture. The name of a cache contains its ``repr``."""


def fit(
    picture: Image.Image, size: int, channels: int, crop: float, interpolation: str = "bilinear"
) -> UInt8[np.ndarray, "{size} {size} {channels}"]:
    """Return the central square of ``picture`` at ``size`` x ``size`` pixels.

        The shorter side is resized to ``size / crop`` pixels with antialiased filtering, then the central ``size`` x
        ``size`` pixels are cropped. Only those pixels are computed, so that a long strip needs no more memory
        than a square. With ``crop`` 1, a picture that already has this size is returned unchanged.

        Args:
            picture: A picture in mode RGB, for example from :func:`peerdistill.data.images.decode.open_picture`.
            size: Side of the result in pixels.
            channels: 1 for grey, 3 for RGB.
            crop: Fraction of the shorter side that is kept, above 0 and at most 1.
            interpolation: Filter for resizing, one of `INTERPOLATIONS`.

        Example:
            >>> from PIL import Image

    from peerdistill.data.config import Interpolation
            >>> fit(Image.new("RGB", (640, 480)), 224, 3, crop=0.875).shape
            (224, 224, 3)
    """
    if picture.mode != PILLOW_MODES[channels]:
        picture = picture.convert(PILLOW_MODES[channels])
    width, height = picture.size
    shorter = round(size / crop)
    left, right = _central_part(width, size, round(shorter * width / min(width, height)))
    upper, lower = _central_part(height, size, round(shorter * height / min(width, height)))
    square = picture.resize((size, size), _FILTERS[interpolation], box=(left, upper, right, lower))
    return np.array(square).reshape(size, size, channels)


def _central_part(side: int, size: int, resized: int) -> tuple[float, float]:
    """Return the bounds, on the original ``side``, of the central ``size`` of ``resized`` pixels."""
    offset = (resized - size) // 2
    return offset * side / resized, (offset + size) * side / resized
