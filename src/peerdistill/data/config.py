"""Options of the data. Free of PyTorch: the command line reads them for its help."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

from peerdistill.data.data_spec import SourceCatalog
from peerdistill.data.sources import SOURCES
from peerdistill.errors import UserError, shortened
from peerdistill.paths import user_path
from peerdistill.ranges import Range, check_ranges

USERS_CACHE, NO_CACHE = "auto", "off"
"""Values of ``cache`` that are not folders."""
NO_LABELS = "off"
"""Value of ``labels`` for data in class folders, where null means that it is not given."""

ImageSize = Annotated[int, Range(least=8, most=4096)]
CropPadding = Annotated[int, Range(least=0, most=1024)]
Crop = Annotated[float, Range(least=0.01, most=1)]
Interpolation = Literal["bilinear", "bicubic"]
PixelAugmentation = Literal["none", "randaugment", "trivialaugment"]
SamplerName = Literal["shuffle", "balanced"]
MixAlpha = Annotated[float, Range(least=0, most=1000)]
"""Of the distribution Beta(alpha, alpha) of the weight of an image."""

_LARGEST = 1e6
_SMALLEST = 1e-6


@dataclass(frozen=True)
class Preprocessing:
    """How pictures become the input of a network. The defaults are those for networks without pretrained weights.

    Attributes:
        image_size: Side in pixels.
        mean: Mean of each channel, for pixels in 0..1. The default is that of ImageNet's training images; other
            photographs are similar.
        std: Standard deviation of each channel, for pixels in 0..1.
        crop: Fraction of the shorter side that the central crop of evaluation keeps.
        interpolation: How pictures are resized.
    """

    image_size: int = 224
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    crop: float = 224 / 256
    interpolation: Interpolation = "bilinear"


@dataclass(frozen=True)
class MixConfig:
    """Mixed training images: mixup and CutMix."""

    mixup: MixAlpha = 0.0
    """Alpha of mixup, the weighted mean of two images (0: no mixup)."""
    cutmix: MixAlpha = 0.0
    """Alpha of CutMix, a rectangle of another image (0: no CutMix). With mixup too, each batch has one of them."""
    share: Annotated[float, Range(above=0, most=1)] = 0.5
    """Fraction of each batch that is mixed; the other images stay clean."""

    @property
    def is_on(self) -> bool:
        """Whether images are mixed."""
        return self.mixup > 0 or self.cutmix > 0

    def mixed_of(self, batch_size: int) -> int:
        """Return how many images of a batch are mixed.

        Raises:
            UserError: Fewer than 2 images, so there is nothing to mix them with.
        """
        if not self.is_on:
            return 0
        mixed = round(self.share * batch_size)
        if mixed < 2:
            raise UserError(
                f"mix.share of {self.share} mixes {mixed} of {batch_size} images per batch, but at least 2 are needed: "
                "raise mix.share or batch_size"
            )
        return mixed


@dataclass(frozen=True)
class SubsetConfig:
    """Part of the data, and wrong labels, for studies."""

    classes: Annotated[int, Range(least=2, most=10**7)] | None = None
    """Number of classes to keep, evenly spaced in their order (default: all)."""
    per_class: Annotated[int, Range(least=1, most=10**9)] | None = None
    """Number of training images to keep of each class, evenly spaced in their order (default: all)."""
    wrong_labels: Annotated[float, Range(least=0, below=1)] = 0.0
    """Fraction of the training images that get a wrong label; validation and test labels stay."""

    @property
    def is_on(self) -> bool:
        """Whether anything is left out or made wrong."""
        return self.classes is not None or self.per_class is not None or self.wrong_labels > 0


@dataclass(frozen=True)
class DataConfig:
    """Images, held-out splits and augmentation."""

    sources: ClassVar[SourceCatalog] = SOURCES
    """What ``data`` can name."""

    data: str
    """DATA, see `peerdistill.data.sources`"""
    test: str | None = None
    """npz:FILE or package.module:function with the test images (default: a fifth of the images is held out)."""
    labels: str | None = None
    """Folders: CSV file with the columns path, label and optionally split (default: class folders)."""
    label_column: str | None = None
    """hf: column with the classes (default: the only one that can be)."""
    root: str = "data"
    """Folder of downloaded data sets; --download stores them there."""
    validation: Annotated[float, Range(least=0, below=1)] = 0.1
    """Fraction of the training images that is held out to select the best epoch (0: none)."""
    image_size: ImageSize | None = None
    """Side in pixels of resized pictures; arrays keep their size (default: that of pretrained weights, else 224)."""
    mean: list[float] | None = None
    """Channel means, pixels in 0..1 (default: those of pretrained weights; else ImageNet's, arrays: their own)."""
    std: list[float] | None = None
    """Standard deviation of each channel, pixels in 0..1 (default: as for mean)."""
    crop: Crop | None = None
    """Folders: fraction of the shorter side that evaluation keeps (default: that of pretrained weights, else 0.875)."""
    interpolation: Interpolation | None = None
    """Folders: filter for resizing pictures (default: that of pretrained weights, else bilinear)."""
    crop_padding: CropPadding = 4
    """Arrays: width in pixels of the black border for random crops (0: no random crops)."""
    flip: bool = True
    """Flip half of the training images left to right."""
    min_scale: Annotated[float, Range(above=0, most=1)] = 0.08
    """Folders: smallest fraction of a picture's area that a random crop covers."""
    augment: PixelAugmentation = "none"
    """Random changes of colours and shapes in each training image: RandAugment or TrivialAugment."""
    color_jitter: Annotated[float, Range(least=0, most=1)] = 0.0
    """Largest relative change of brightness, contrast and saturation of a training image (0: none)."""
    erasing: Annotated[float, Range(least=0, most=1)] = 0.0
    """Probability that a random rectangle of a training image is erased."""
    mix: MixConfig = field(default_factory=MixConfig)
    subset: SubsetConfig = field(default_factory=SubsetConfig)
    sampler: SamplerName = "shuffle"
    """How images are drawn. shuffle: each once per epoch; balanced: with replacement, each class equally often."""
    workers: Annotated[int, Range(least=0, most=1024)] | None = None
    """Number of processes that make images: decode pictures; on a GPU, augment or color_jitter of arrays (0: none;
    default: 2 for a CPU, for a GPU this process's share of the cores minus 1, from 1 to 8). Any number gives the same
    images."""
    cache: str = USERS_CACHE
    """Folder for the cache of decoded pictures (auto: in the user's cache folder, off: no cache)."""
    cache_gib: Annotated[float, Range(above=0, most=10**6)] = 20.0
    """Limit on the size of all caches of decoded pictures, in GiB."""

    def check(self) -> None:
        """Raise UserError for the first value that is out of range, or for data that does not exist."""
        check_ranges(self)
        check_statistics(self.mean, self.std)
        self.sources.check(self)
        if self.labels is not None and not user_path(self.labels, "labels").is_file():
            raise UserError(f"there is no table of labels '{self.labels}'")

    @property
    def unused(self) -> frozenset[str]:
        """Names of the options that change nothing, because of what ``data`` names: arrays or pictures."""
        if self.sources.of_pictures(self.data):
            return frozenset({"crop_padding"})
        sizes = set() if self.sources.resizes(self.data) else {"image_size"}
        return frozenset({"crop", "interpolation", "min_scale"} | sizes)

    @property
    def preprocessing(self) -> Preprocessing:
        """How pictures are prepared; options that are null have their default without pretrained weights."""
        known = Preprocessing()
        return Preprocessing(
            self.image_size or known.image_size,
            known.mean if self.mean is None else per_channel(self.mean, 3),
            known.std if self.std is None else per_channel(self.std, 3),
            self.crop or known.crop,
            self.interpolation or known.interpolation,
        )

    def resolved(self, expected: Preprocessing | None = None) -> "DataConfig":
        """Return the options with values in place of null, where they apply to the data.

        Args:
            expected: What the pretrained weights expect. None: there are none, and arrays keep their own statistics.
        """
        takes, of_pictures = self.sources.takes(self.data), self.sources.of_pictures(self.data)
        known = Preprocessing() if expected is None else expected
        found: dict[str, Any] = {"image_size": known.image_size if takes != "name" else Preprocessing().image_size}
        if of_pictures or expected is not None:
            found |= {"mean": list(known.mean), "std": list(known.std)}
        if of_pictures:
            found |= {"crop": known.crop, "interpolation": known.interpolation}
        return replace(self, **{name: value for name, value in found.items() if getattr(self, name) is None})


def per_channel(values: Sequence[float], channels: int) -> tuple[float, ...]:
    """Return one value per channel: a single value is repeated, and values for RGB are averaged for grey images.

    Example:
        >>> per_channel([0.5], 3)
        (0.5, 0.5, 0.5)
    """
    if len(values) == channels:
        return tuple(values)
    return (math.fsum(values) / len(values),) * channels


def check_statistics(mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    """Raise UserError unless the statistics of the channels, if they are given, can normalise images."""
    _check_statistic("mean", mean)
    _check_statistic("std", std)


def _check_statistic(name: str, values: Sequence[float] | None) -> None:
    if values is None:
        return
    least = _SMALLEST if name == "std" else -_LARGEST
    if len(values) not in (1, 3) or not all(least <= value <= _LARGEST for value in values):
        kind = "positive numbers" if name == "std" else "finite numbers"
        found = shortened(values)
        raise UserError(f"{name} must be 1 or 3 {kind}, one for all channels or one for each, found {found}")
