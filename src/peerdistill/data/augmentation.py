"""Random variation of training images.

N images; B batch; C channels; H, W height and width of an image.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from peerdistill.data.stored import resized

_ASPECT_RATIOS = [3 / 4, 4 / 3]


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied; fields as in `peerdistill.data.DataConfig`."""

    crop_padding: int = 4
    flip: bool = True
    min_scale: float = 0.08


class RandomCrops:
    """Images that are cropped at random and mirrored when they are fetched.

    They are kept with their border, which takes (1 + 2 padding / side)^2 times their room, so that a batch is copied
    once: every crop that there is, is a view.

    Args:
        images_NCHW: Images on any device.
        padding: Width of the black border in pixels; 0: none, and the images themselves are kept.
        flip: Whether images are mirrored at all.
    """

    def __init__(self, images_NCHW: UInt8[Tensor, "N C H W"], padding: int, flip: bool):
        *_, H, W = images_NCHW.shape
        bordered = F.pad(images_NCHW, [padding] * 4) if padding else images_NCHW
        # (N, C, tops, lefts, H, W)
        self._windows = bordered.unfold(2, H, 1).unfold(3, W, 1)
        self._shifts = 2 * padding + 1
        self._flip = flip

    def fetch(self, rows_B: Int64[Tensor, "B"], generator: torch.Generator) -> UInt8[Tensor, "B C H W"]:
        """Return images, each shifted by up to ``padding`` pixels each way, and about half of them mirrored.

        That is a random crop of an image's own size from the image with its border, and a left-right flip with
        probability 1/2, drawn for each image by itself.

        Args:
            rows_B: Of the images, on the CPU.
            generator: Source of the draws, on the CPU, so that they are the same for every device.
        """
        B = len(rows_B)
        top_B, left_B = torch.randint(0, self._shifts, (2, B), generator=generator)
        is_mirrored_B = torch.rand(B, generator=generator) < (0.5 if self._flip else 0.0)
        mirrored = is_mirrored_B.nonzero().flatten()
        device = self._windows.device
        if device.type == "cpu":
            return _fetch_on_host(self._windows, rows_B, top_B, left_B, mirrored)
        # non_blocking: the host must not wait here for the device to finish the step before.
        drawn = (tensor.to(device, non_blocking=True) for tensor in (rows_B, top_B, left_B, mirrored))
        return _fetch_on_device(self._windows, *drawn)


def _fetch_on_device(
    windows: Tensor, rows_B: Tensor, top_B: Tensor, left_B: Tensor, mirrored: Tensor
) -> UInt8[Tensor, "B C H W"]:
    crops_BCHW = windows[rows_B, :, top_B, left_B]
    return crops_BCHW.index_copy_(0, mirrored, crops_BCHW.index_select(0, mirrored).flip(-1))


def _fetch_on_host(
    windows: Tensor, rows_B: Tensor, top_B: Tensor, left_B: Tensor, mirrored: Tensor
) -> UInt8[Tensor, "B C H W"]:
    """Do the same by NumPy, which copies line by line where PyTorch's kernel for CPUs goes from pixel to pixel.

    It also does so on one core: a batch is too small to be worth the waiting of threads for each other.
    """
    chosen = mirrored.numpy()
    crops_BCHW = windows.numpy()[rows_B.numpy(), :, top_B.numpy(), left_B.numpy()]
    crops_BCHW[chosen] = crops_BCHW[chosen][..., ::-1]
    return torch.from_numpy(crops_BCHW)


def random_resized_square(
    pixels_HWC: UInt8[np.ndarray, "H W C"], size: int, augmentation: Augmentation, seed: int
) -> UInt8[Tensor, "C {size} {size}"]:
    """Return a random part of a picture at ``size`` x ``size`` pixels, mirrored half of the time.

    The part has between ``augmentation.min_scale`` and all of the area, and a ratio of sides between 3:4 and 4:3.

    Args:
        pixels_HWC: The picture; not written to.
        size: Side of the result in pixels.
        augmentation: ``min_scale`` and ``flip`` are used.
        seed: The only source of chance; PyTorch's global generator is left as it was.
    """
    H, W, _ = pixels_HWC.shape
    with torch.random.fork_rng(devices=[]):
        # torchvision draws from the global CPU generator; torch.manual_seed would also reset those of devices.
        torch.default_generator.manual_seed(seed)
        top, left, height, width = RandomResizedCrop.get_params(
            torch.empty(1, H, W, device="meta"), scale=[augmentation.min_scale, 1.0], ratio=_ASPECT_RATIOS
        )
        is_mirrored = augmentation.flip and torch.rand(()).item() < 0.5
    part = pixels_HWC[top : top + height, left : left + width].copy()  # PyTorch wants what may be written to
    square = resized(torch.from_numpy(part).permute(2, 0, 1), (size, size))
    return square.flip(-1) if is_mirrored else square
