"""What a user can say about the data. Free of PyTorch: the command line reads it for its help."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from peerdistill.data.data_spec import NAMES, check_word
from peerdistill.ranges import Range, check_ranges

USERS_CACHE, NO_CACHE = "auto", "off"
"""What ``cache`` may be besides a folder."""

ImageSize = Annotated[int, Range(least=8, most=4096)]
CropPadding = Annotated[int, Range(least=0, most=1024)]


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
    validation: Annotated[float, Range(least=0, below=1)] = 0.1
    """fraction of the training images held out to select the best epoch (0: none)"""
    image_size: ImageSize = 224
    """side in pixels of the squares made from a folder's pictures (arrays keep their own size)"""
    crop_padding: CropPadding = 4
    """arrays: pixels of black border from which the random crop is taken (0: no random crop)"""
    flip: bool = True
    """mirror half of the training images left to right"""
    min_scale: Annotated[float, Range(above=0, most=1)] = 0.08
    """folders: smallest part of a picture's area that a random crop may take"""
    workers: Annotated[int, Range(least=0, most=1024)] = 2
    """processes that decode a folder's pictures (0: the training process does)"""
    cache: str = USERS_CACHE
    """folder that keeps a folder's decoded pictures (auto: one in the user's cache folder, off: none)"""
    cache_gib: Annotated[float, Range(above=0, most=10**6)] = 20.0
    """most room that all decoded pictures there may take, in GiB (--cache off keeps nothing)"""

    def check(self) -> None:
        """Raise ``UserError`` for the first field that is out of range or names nothing that there is."""
        check_ranges(self)
        check_word(self.data, self.test)
