"""Random variation of training images.

B batch; C channels; H, W height and width of an image; P its pixels, Q those with a border around it.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from peerdistill.data.pictures import fit

_ASPECT_RATIOS = [3 / 4, 4 / 3]


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied; fields as in `peerdistill.data.DataConfig`."""

    crop_padding: int = 4
    flip: bool = True
    min_scale: float = 0.08


def crop_and_flip(
    images_BCHW: UInt8[Tensor, "B C H W"], padding: int, flip: bool, generator: torch.Generator
) -> UInt8[Tensor, "B C H W"]:
    """Shift every image by up to ``padding`` pixels each way, filling with black, and mirror about half of them.

    That is a random crop of the image's own size from the image with a black border, and a left-right flip with
    probability 1/2, drawn for each image by itself.

    Args:
        images_BCHW: Images on any device.
        padding: Width of the border in pixels; 0: no shift.
        flip: Whether images are mirrored at all.
        generator: Source of the draws, on the CPU, so that they are the same for every device.
    """
    B, C, H, W = images_BCHW.shape
    shift_2B = torch.randint(0, 2 * padding + 1, (2, B), generator=generator)
    mirrored_B = torch.rand(B, generator=generator) < (0.5 if flip else 0.0)
    # non_blocking: the host must not wait here for the device to finish the step before.
    top_B, left_B, mirrored_B = (drawn.to(images_BCHW.device, non_blocking=True) for drawn in (*shift_2B, mirrored_B))
    # Where each pixel of the result lies in the padded image: a single gather crops and mirrors.
    row_H, column_W = (torch.arange(side, device=images_BCHW.device) for side in (H, W))
    row_BH = top_B[:, None] + row_H
    column_BW = left_B[:, None] + torch.where(mirrored_B[:, None], W - 1 - column_W, column_W)
    pixel_BHW = row_BH[:, :, None] * (W + 2 * padding) + column_BW[:, None, :]
    pixel_BCP = pixel_BHW.view(B, 1, H * W).expand(B, C, H * W)
    padded_BCQ = F.pad(images_BCHW, [padding] * 4).flatten(2)
    return padded_BCQ.gather(2, pixel_BCP).view(B, C, H, W)


def random_resized_square(
    picture: Image.Image, size: int, channels: int, augmentation: Augmentation, seed: int
) -> UInt8[np.ndarray, "{size} {size} {channels}"]:
    """Return a random part of ``picture`` at ``size`` x ``size`` pixels, mirrored half of the time.

    The part has between ``augmentation.min_scale`` and all of the area, and a ratio of sides between 3:4 and 4:3.

    Args:
        picture: In mode RGB.
        size: Side of the result in pixels.
        channels: 1 for grey, 3 for RGB.
        augmentation: ``min_scale`` and ``flip`` are used.
        seed: The only source of chance; PyTorch's global generator is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        # torchvision draws from the global CPU generator; torch.manual_seed would also reset those of devices.
        torch.default_generator.manual_seed(seed)
        top, left, height, width = RandomResizedCrop.get_params(
            picture,  # pyright: ignore[reportArgumentType] (annotated as a tensor, documented as "PIL image or tensor")
            scale=[augmentation.min_scale, 1.0],
            ratio=_ASPECT_RATIOS,
        )
        is_mirrored = augmentation.flip and torch.rand(()).item() < 0.5
    box = (left, top, left + width, top + height)
    part = picture.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return fit(ImageOps.mirror(part) if is_mirrored else part, size, channels, crop=1.0)
