"""Options of few-shot data and episodes. Free of PyTorch: the command line reads them for its help."""

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal, NamedTuple

from peerdistill.data.config import CropPadding, ImageSize, Preprocessing, check_statistics
from peerdistill.data.data_spec import SourceCatalog
from peerdistill.errors import UserError
from peerdistill.fewshot.sources import SOURCES
from peerdistill.ranges import Count, Range, Seed, check_ranges

ClassSplitName = Literal["vinyals", "background"]

Ways = Annotated[int, Range(least=2, most=100_000)]
Images = Annotated[int, Range(least=1, most=10_000)]
"""Of one class in an episode."""


class EpisodeShape(NamedTuple):
    """The number of classes of an episode, and of the support and query images of each class."""

    ways: int
    shots: int
    """Support images per class."""
    queries: int
    """Query images per class."""

    @property
    def images(self) -> int:
        """Number of images of an episode."""
        return self.ways * (self.shots + self.queries)

    @property
    def column(self) -> str:
        """Its name in tables, see :func:`column_of`."""
        return column_of(self.ways, self.shots)


def column_of(ways: int, shots: int) -> str:
    """Return the name of episodes in tables, as papers write it.

    Example:
        >>> column_of(5, 1)
        '5-way 1-shot'
    """
    return f"{ways}-way {shots}-shot"


@dataclass(frozen=True)
class FewShotData:
    """Images, class splits and augmentation."""

    sources: ClassVar[SourceCatalog] = SOURCES
    """What ``data`` can name."""

    data: str
    """DATA, see `peerdistill.fewshot.sources`"""
    root: str = "data"
    """Folder of downloaded data sets; --download stores them there."""
    class_split: ClassSplitName = "vinyals"
    """Omniglot: the split of Vinyals et al. (1028, 172, 423 classes) or the original background and evaluation sets."""
    trainval: bool = False
    """Train on the validation classes too; no best epoch is selected then."""
    rotations: bool = False
    """Add each class rotated by 90, 180 and 270 degrees as three more classes."""
    image_size: ImageSize = 84
    """Side in pixels to which pictures are resized (arrays and omniglot keep their size)."""
    mean: list[float] | None = None
    """Mean of each channel, pixels in 0..1 (default: that of pretrained weights; else that of the training images)."""
    std: list[float] | None = None
    """Standard deviation of each channel, pixels in 0..1 (default: as for mean)."""
    crop_padding: CropPadding = 0
    """Width in pixels of the black border for random crops of training images (0: no random crops)."""
    flip: bool = False
    """Flip half of the training images left to right."""

    def check(self) -> None:
        """Raise UserError for the first value that is out of range, or for data that does not exist."""
        check_ranges(self)
        check_statistics(self.mean, self.std)
        self.sources.check(self)

    @property
    def unused(self) -> frozenset[str]:
        """Names of the options that change nothing, because of what ``data`` names: only pictures are resized."""
        return frozenset() if self.sources.resizes(self.data) else frozenset({"image_size"})

    def resolved(self, expected: Preprocessing | None = None) -> "FewShotData":
        """Return the options with the mean and standard deviation that pretrained weights expect in place of null.

        The image size is that of the few-shot protocol.
        """
        if expected is None:
            return self
        return replace(self, mean=self.mean or list(expected.mean), std=self.std or list(expected.std))


@dataclass(frozen=True)
class EpisodeSetConfig:
    """An evaluation set of episodes."""

    ways: Ways = 5
    """Classes of an episode."""
    shots: Images | None = None
    """Support images per class (default: as in training)."""
    queries: Images = 15
    """Query images per class."""
    episodes: Annotated[int, Range(least=2, most=10**6)] = 1000
    """Number of episodes."""
    seed: Seed = 0
    """Seed of the episodes; they are the same for all runs on the same classes."""

    def check(self, prefix: str = "") -> None:
        """Raise UserError for a value outside its range; ``prefix`` precedes the names of the options."""
        check_ranges(self, prefix)

    def shape(self, training: "EpisodeConfig") -> EpisodeShape:
        """Return the shape of the episodes for peers that are trained with ``training``."""
        return EpisodeShape(self.ways, training.shots if self.shots is None else self.shots, self.queries)


def paper_columns(data: str) -> tuple[EpisodeSetConfig, ...]:
    """Return the evaluation sets of Table 5 of the paper for a run on ``data``.

    For omniglot they are four, with 1,000 episodes each; otherwise the two of miniImageNet, with 600 episodes each.
    The paper does not state the number of queries: it is 15 per class, as in the code of Snell et al.
    """
    ways, episodes = ((5, 20), 1000) if data == "omniglot" else ((5,), 600)
    return tuple(EpisodeSetConfig(way, shots, 15, episodes) for way in ways for shots in (1, 5))


@dataclass(frozen=True)
class EpisodeConfig:
    """Episodes."""

    ways: Ways = 5
    """Classes of a training episode."""
    shots: Images = 1
    """Support images per class; the same number as in the test episodes works best."""
    queries: Images = 5
    """Query images per class."""
    episodes: Annotated[int, Range(least=1, most=10**9)] = 10000
    """Training episodes, one per batch."""
    episodes_per_epoch: Count = 100
    """Training episodes between two validations and checkpoints."""
    prototypical: Annotated[float, Range(above=0, most=10**6)] = 1.0
    """Weight of the prototypical loss, which is added to the terms of the method."""
    validation: EpisodeSetConfig = field(default_factory=lambda: EpisodeSetConfig(queries=5, episodes=100))
    """Validation episodes, which select the best epoch."""
    test: EpisodeSetConfig = field(default_factory=EpisodeSetConfig)
    """Test episodes."""

    def check(self) -> None:
        """Raise UserError for a value outside its range, named as its option is."""
        check_ranges(self)
        if self.episodes % self.episodes_per_epoch:
            raise UserError(
                f"episodes must be a multiple of episodes_per_epoch, found {self.episodes} and "
                f"{self.episodes_per_epoch}"
            )

    @property
    def shape(self) -> EpisodeShape:
        """The shape of a training episode."""
        return EpisodeShape(self.ways, self.shots, self.queries)

    @property
    def epochs(self) -> int:
        """Number of validations."""
        return self.episodes // max(1, self.episodes_per_epoch)
