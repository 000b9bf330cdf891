"""What a user can say about the data. Free of PyTorch: the command line reads it for its help."""

from dataclasses import dataclass
from typing import ClassVar

from peerdistill.data.words import NAMES, check_word
from peerdistill.errors import UserError

USERS_CACHE, NO_CACHE = "auto", "off"
"""What ``cache`` may be besides a folder."""


@dataclass(frozen=True)
class DataConfig:
    """Which images to learn from, what is held out, and how training images are varied."""

    names: ClassVar[tuple[str, ...]] = NAMES
    """What ``data`` may be besides files and folders."""

    data: str
    """digits, cifar10, cifar100, npz:FILE,FILE,... or a folder of class folders"""
    test: str | None = None
    """npz:FILE of test images beside an npz source (none: a fifth of the images is held out)"""
    root: str = "data"
    """folder that holds cifar10 and cifar100, or receives them with --download"""
    validation: float = 0.1
    """fraction of the training images held out to select the best epoch (0: none)"""
    image_size: int = 224
    """side in pixels of the squares made from a folder's pictures (arrays keep their own size)"""
    crop_padding: int = 4
    """arrays: pixels of black border from which the random crop is taken (0: no random crop)"""
    flip: bool = True
    """mirror half of the training images left to right"""
    min_scale: float = 0.08
    """folders: smallest part of a picture's area that a random crop may take"""
    workers: int = 2
    """processes that decode a folder's pictures (0: the training process does)"""
    cache: str = USERS_CACHE
    """folder that keeps a folder's decoded pictures (auto: one in the user's cache folder, off: none)"""
    cache_gib: float = 20.0
    """most room that all decoded pictures there may take, in GiB"""

    def check(self) -> None:
        """Raise ``UserError`` for the first field that is out of range or names nothing that there is."""
        rules = {
            "validation": (0 <= self.validation < 1, "at least 0 and below 1"),
            "image_size": (self.image_size >= 8, "at least 8"),
            "crop_padding": (self.crop_padding >= 0, "at least 0"),
            "min_scale": (0 < self.min_scale <= 1, "above 0 and at most 1"),
            "workers": (self.workers >= 0, "at least 0"),
            "cache_gib": (self.cache_gib > 0, "above 0 (--cache off keeps nothing)"),
        }
        for field, (holds, allowed) in rules.items():
            if not holds:
                raise UserError(f"{field} must be {allowed}, found {getattr(self, field)}")
        check_word(self.data, self.test)
