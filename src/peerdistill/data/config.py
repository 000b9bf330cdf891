"""Options of the data. Free of PyTorch: the command line reads them for its help."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from peerdistill.data.data_spec import SourceCatalog
from peerdistill.data.sources import SOURCES
from peerdistill.ranges import Range, check_ranges

USERS_CACHE, NO_CACHE = "auto", "off"
"""Values of ``cache`` that are not folders."""

ImageSize = Annotated[int, Range(least=8, most=4096)]
CropPadding = Annotated[int, Range(least=0, most=1024)]


@dataclass(frozen=True)
class DataConfig:
    """Images, held-out splits and augmentation."""

    sources: ClassVar[SourceCatalog] = SOURCES
    """What ``data`` can name."""

    data: str
    """DATA, see `peerdistill.data.sources`"""
    test: str | None = None
    """npz:FILE or package.module:function with the test images (default: a fifth of the images is held out)"""
    root: str = "data"
    """folder of downloaded data sets; --download stores them there"""
    validation: Annotated[float, Range(least=0, below=1)] = 0.1
    """fraction of the training images that is held out to select the best epoch (0: none)"""
    image_size: ImageSize = 224
    """side in pixels to which pictures are resized (arrays keep their size)"""
    crop_padding: CropPadding = 4
    """arrays: width in pixels of the black border for random crops (0: no random crops)"""
    flip: bool = True
    """flip half of the training images left to right"""
    min_scale: Annotated[float, Range(above=0, most=1)] = 0.08
    """folders: smallest fraction of a picture's area that a random crop covers"""
    workers: Annotated[int, Range(least=0, most=1024)] = 2
    """folders: number of processes that decode pictures (0: the training process decodes them)"""
    cache: str = USERS_CACHE
    """folder for the cache of decoded pictures (auto: in the user's cache folder, off: no cache)"""
    cache_gib: Annotated[float, Range(above=0, most=10**6)] = 20.0
    """limit on the size of all caches of decoded pictures, in GiB"""

    def check(self) -> None:
        """Raise UserError for the first value that is out of range, or for data that does not exist."""
        check_ranges(self)
        self.sources.check(self)
