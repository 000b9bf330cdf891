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

# Strips whose longer side is more than this many times the shorter one are not resized as a whole.
_LONGEST = 64


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

    @property
    def sufficient(self) -> None:
        """Every pixel counts: a deployed leader sees the same as evaluation, in every language."""
        return None

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
        gap: A decoder may reduce the picture to this many times ``shorter`` before. With 2, as in Pillow's
            ``thumbnail``, pixels of the result differ by at most a few levels of 255 (docs/data.md).
    """

    shorter: int
    channels: int
    interpolation: Interpolation = "bilinear"
    gap: int = 2

    @property
    def sufficient(self) -> int:
        """Length of the shorter side in pixels from which on a picture is large enough."""
        return self.gap * self.shorter

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
    ``size`` pixels are cropped, exactly as torchvision's ``Resize`` and ``CenterCrop`` do with a PIL image. With
    ``crop`` 1, a picture that already has this size is returned unchanged. Of very long strips only the central pixels
    are computed, so that they need little memory; these may differ from torchvision's by a few levels of 255.

    Args:
        picture: A picture in mode RGB, for example from :func:`peerdistill.data.images.decode.open_picture`.
        size: Side of the result in pixels.
        channels: 1 for grey, 3 for RGB.
        crop: Fraction of the shorter side that is kept, above 0 and at most 1.
        interpolation: Filter for resizing, one of `INTERPOLATIONS`.

    Example:
        >>> from PIL import Image
        >>> fit(Image.new("RGB", (640, 480)), 224, 3, crop=0.875).shape
        (224, 224, 3)
    """
    if picture.mode != PILLOW_MODES[channels]:
        picture = picture.convert(PILLOW_MODES[channels])
    shorter = round(size / crop)
    # As torchvision: the longer side is rounded down, and offsets are rounded half to even.
    extent = [int(shorter * side / min(picture.size)) for side in picture.size]
    left, upper = (round((side - size) / 2) for side in extent)
    if max(extent) <= _LONGEST * shorter:
        square = picture.resize((extent[0], extent[1]), _FILTERS[interpolation])
        square = square.crop((left, upper, left + size, upper + size))
    else:
        across, down = (side / resized for side, resized in zip(picture.size, extent, strict=True))
        box = (left * across, upper * down, (left + size) * across, (upper + size) * down)
        square = picture.resize((size, size), _FILTERS[interpolation], box=box)
    return np.array(square).reshape(size, size, channels)
