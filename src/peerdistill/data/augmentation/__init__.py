"""Random augmentation of training images: crops, colours and shapes of single images, erasing and mixing in batches."""

from dataclasses import dataclass, field
from typing import Literal

from peerdistill.data.config import MixConfig


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of training images; fields as in `peerdistill.data.DataConfig`."""

    crop_padding: int = 4
    flip: bool = True
    min_scale: float = 0.08
    augment: Literal["none", "randaugment", "trivialaugment"] = "none"
    color_jitter: float = 0.0
    erasing: float = 0.0
    mix: MixConfig = field(default_factory=MixConfig)
