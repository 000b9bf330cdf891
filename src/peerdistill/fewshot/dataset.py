"""Few-shot data sets: splits without common classes, as slices of one tensor of bytes.

N samples; C channels; H, W height and width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from peerdistill.data.arrays import LabelledImages, Statistics, channel_statistics, check_every_class
from peerdistill.data.dataset import ArraySplit, Dataset, fingerprint, held_out_fingerprints
from peerdistill.data.pictures import place
from peerdistill.errors import UserError

SPLITS = ("train", "val", "test")

# The proportions of miniImageNet: 64 / 16 / 20 classes.
_TEST_SHARE = 0.2
_VAL_SHARE = 0.16
_FEWEST_CLASSES = 2
_QUARTER_TURNS = 4


@dataclass(frozen=True, eq=False)
class ClassSplit(ArraySplit):
    """Images of the classes of one split, sorted by label; labels are 0..classes - 1."""

    class_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FewShotDataset(Dataset):
    """A few-shot data set. ``class_names`` are those of training; ``val`` and ``test`` have other classes."""

    train: ClassSplit
    val: ClassSplit | None
    test: ClassSplit | None


@dataclass(frozen=True, eq=False)
class ClassSource:
    """What a few-shot source returns: all images, and the split of each class."""

    images: LabelledImages
    splits: tuple[str, ...]
    """One of `SPLITS` for each class."""
    skipped: int = 0
    """Number of unreadable pictures that were left out."""
    statistics: tuple[Statistics, Statistics] | None = None
    """Mean and standard deviation of the channels; None: computed from the training images."""


def divide_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Return the split of each class: 20 % for testing, 16 % for validation, the rest for training.

    The classes are ordered by a hash of their names, so the split depends only on the names.

    Raises:
        UserError: There are fewer than 4 classes: training and testing need two each.

    Example:
        >>> divide_classes(["ant", "bee", "cat", "dog", "elk"])
        ('train', 'test', 'train', 'train', 'test')
    """
    if len(names) < 2 * _FEWEST_CLASSES:
        raise UserError(
            f"few-shot data needs at least {2 * _FEWEST_CLASSES} classes, two for training and two for testing, "
            f"found {len(names)}"
        )
    tested = max(_FEWEST_CLASSES, round(_TEST_SHARE * len(names)))
    validated = round(_VAL_SHARE * len(names))
    if validated < _FEWEST_CLASSES or len(names) - tested - validated < _FEWEST_CLASSES:
        validated = 0
    ordered = sorted(names, key=place)
    split_of: dict[str, str] = dict.fromkeys(ordered[:tested], "test")
    split_of |= dict.fromkeys(ordered[tested : tested + validated], "val")
    return tuple(split_of.get(name, "train") for name in names)


def assemble(
    name: str,
    source: ClassSource,
    *,
    rotations: bool = False,
    trainval: bool = False,
) -> FewShotDataset:
    """Return ``source`` divided into its splits.

    Args:
        name: Name of the data set.
        source: Images, classes and their splits.
        rotations: Whether each class rotated by 90, 180 and 270 degrees becomes three more classes.
        trainval: Whether to train on the validation classes too.

    Raises:
        UserError: A class has no image, or a split has only one class.
    """
    split_of = ["train" if trainval and split == "val" else split for split in source.splits]
    _check_classes(name, source.images, split_of)
    chosen = {split: np.flatnonzero(np.array(split_of) == split) for split in SPLITS}
    turns = range(_QUARTER_TURNS if rotations else 1)
    parts = [part for classes in chosen.values() for part in _turned(source.images, classes, turns)]
    everything = torch.from_numpy(np.concatenate(parts)).permute(0, 3, 1, 2).contiguous()
    splits = dict(zip(chosen, _slices(everything, source.images, chosen, turns), strict=True))
    train, val, test = splits["train"], splits["val"], splits["test"]
    assert train is not None
    mean, std = source.statistics or channel_statistics(train.images)
    held_out = {split: part for split, part in (("val", val), ("test", test)) if part is not None}
    return FewShotDataset(
        name=name,
        class_names=train.class_names,
        channels=everything.shape[1],
        image_size=everything.shape[2],
        crop=1.0,
        mean=mean,
        std=std,
        train=train,
        val=val,
        test=test,
        fingerprint=fingerprint(train.class_names, train, (*mean, *std)),
        held_out=held_out_fingerprints({split: part.class_names for split, part in held_out.items()}, held_out),
        skipped=source.skipped,
    )


def _check_classes(name: str, source: LabelledImages, split_of: list[str]) -> None:
    check_every_class(name, source, "image")
    if "train" not in split_of:
        raise UserError(f"{name} has no training classes")
    for split in SPLITS:
        if split_of.count(split) == 1:
            only = source.class_names[split_of.index(split)]
            raise UserError(f"the {split} split of {name} has only one class, '{only}': episodes need at least two")


def _turned(source: LabelledImages, classes: np.ndarray, turns: range) -> Iterator[np.ndarray]:
    """Yield the images of ``classes``, sorted by class, once for each quarter turn."""
    rows = [np.flatnonzero(source.labels == label) for label in classes]
    images = source.images[np.concatenate([np.empty(0, np.int64), *rows])]
    yield from (np.rot90(images, turn, axes=(1, 2)) for turn in turns)


def _slices(
    everything: UInt8[Tensor, "N C H W"], source: LabelledImages, chosen: dict[str, np.ndarray], turns: range
) -> Iterator[ClassSplit | None]:
    """Yield the part of the tensor for each split, None for a split without classes."""
    counts = np.bincount(source.labels, minlength=len(source.class_names))
    start = 0
    for classes in chosen.values():
        sizes = torch.from_numpy(np.tile(counts[classes], len(turns)))
        end = start + int(sizes.sum())
        names = [
            source.class_names[label] + (f"/rot{90 * turn:03}" if turn else "") for turn in turns for label in classes
        ]
        labels = torch.arange(len(names)).repeat_interleave(sizes)
        yield ClassSplit(everything[start:end], labels, tuple(names)) if names else None
        start = end
