"""Random crops of training images, flipped left to right.

N images; B batch; L images of a batch that are loaded; C channels; H, W height and width of an image.
"""

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.images.resize import resize
from peerdistill.rng import library_draws

_ASPECT_RATIOS = [3 / 4, 4 / 3]


class Crops(NamedTuple):
    """Random crops of the images of a batch, on the CPU."""

    top: Int64[Tensor, "B"]
    left: Int64[Tensor, "B"]
    is_flipped: Bool[Tensor, "B"]

    def of(self, positions_L: Int64[Tensor, "L"]) -> "Crops":
        """Return the crops of some images, given by their positions in the batch."""
        return Crops(*(drawn[positions_L] for drawn in self))


class RandomCrops:
    """Images in memory that are cropped and flipped when a batch is fetched.

    The images are stored with their border, in (1 + 2 padding / side)^2 times their memory. Every possible crop is then
    a view, and a batch is copied only once.

    Args:
        images_NCHW: Images on any device.
        padding: Width of the black border in pixels; 0: no border and no copy of the images.
        flip: Whether to flip half of the images left to right.
    """

    def __init__(self, images_NCHW: UInt8[Tensor, "N C H W"], padding: int, flip: bool):
        *_, H, W = images_NCHW.shape
        bordered = F.pad(images_NCHW, [padding] * 4) if padding else images_NCHW
        # (N, C, tops, lefts, H, W)
        self._windows = bordered.unfold(2, H, 1).unfold(3, W, 1)
        self._shifts = 2 * padding + 1
        self._flip = flip

    def draw(self, batch_size: int, generator: torch.Generator) -> Crops:
        """Return random crops for a batch.

        Each image is flipped left to right with probability 1/2, independently of the others.

        Args:
            batch_size: Number of images.
            generator: Source of the random draws, on the CPU, so that they are the same for every device.
        """
        top_B, left_B = torch.randint(0, self._shifts, (2, batch_size), generator=generator)
        is_flipped_B = torch.rand(batch_size, generator=generator) < (0.5 if self._flip else 0.0)
        return Crops(top_B, left_B, is_flipped_B)

    def fetch(self, rows_B: Int64[Tensor, "B"], crops: Crops) -> UInt8[Tensor, "B C H W"]:
        """Return images, each a crop at its own size from the image with its border.

        Args:
            rows_B: Rows of the images, on the CPU.
            crops: The crop of each.
        """
        flipped = crops.is_flipped.nonzero().flatten()
        device = self._windows.device
        if device.type == "cpu":
            return _fetch_on_host(self._windows, rows_B, crops.top, crops.left, flipped)
        # non_blocking: the host must not wait until the device has finished the previous step.
        drawn = (tensor.to(device, non_blocking=True) for tensor in (rows_B, crops.top, crops.left, flipped))
        return _fetch_on_device(self._windows, *drawn)


def _fetch_on_device(
    windows: Tensor, rows_B: Tensor, top_B: Tensor, left_B: Tensor, flipped: Tensor
) -> UInt8[Tensor, "B C H W"]:
    crops_BCHW = windows[rows_B, :, top_B, left_B]
    return crops_BCHW.index_copy_(0, flipped, crops_BCHW.index_select(0, flipped).flip(-1))


def _fetch_on_host(
    windows: Tensor, rows_B: Tensor, top_B: Tensor, left_B: Tensor, flipped: Tensor
) -> UInt8[Tensor, "B C H W"]:
    """Do the same with NumPy, which copies whole lines; PyTorch's CPU kernel copies pixel by pixel.

    NumPy uses one core. A batch is too small for threads to pay off.
    """
    chosen = flipped.numpy()
    crops_BCHW = windows.numpy()[rows_B.numpy(), :, top_B.numpy(), left_B.numpy()]
    crops_BCHW[chosen] = crops_BCHW[chosen][..., ::-1]
    return torch.from_numpy(crops_BCHW)


def random_resized_square(
    pixels_HWC: UInt8[np.ndarray, "H W C"],
    size: int,
    augmentation: Augmentation,
    seed: int,
    interpolation: str = "bilinear",
) -> UInt8[Tensor, "C {size} {size}"]:
    """Return a random crop of a picture, resized to ``size`` x ``size`` pixels and flipped with probability 1/2.

    The crop covers ``augmentation.min_scale`` to 1 of the area; its aspect ratio is between 3:4 and 4:3.

    Args:
        pixels_HWC: The picture; it is not modified.
        size: Side of the result in pixels.
        augmentation: ``min_scale`` and ``flip`` are used.
        seed: Seed of the random draws. PyTorch's global generator is not changed.
        interpolation: "bilinear" or "bicubic".
    """
    H, W, _ = pixels_HWC.shape
    with library_draws(seed):
        top, left, height, width = RandomResizedCrop.get_params(
            torch.empty(1, H, W, device="meta"), scale=[augmentation.min_scale, 1.0], ratio=_ASPECT_RATIOS
        )
        is_flipped = augmentation.flip and torch.rand(()).item() < 0.5
    part = pixels_HWC[top : top + height, left : left + width].copy()  # PyTorch requires a writable array
    square = resize(torch.from_numpy(part).permute(2, 0, 1), (size, size), interpolation)
    return square.flip(-1) if is_flipped else square
