"""Data sets from arrays in memory."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, Integer, UInt8
from torch import Tensor

from peerdistill.data.dataset import ArraySplit, Dataset, check_known_classes, fingerprint, held_out_fingerprints
from peerdistill.errors import UserError, some_of
from peerdistill.rng import SplitSeed

TEST_FRACTION = 0.2
"""Fraction of the images that becomes the test split if a source has no test images."""

Statistics = tuple[float, ...]
"""One number per channel."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images as files contain them (channels last, labels of any integer type) with the names of their classes."""

    images: UInt8[np.ndarray, "samples size size channels"]
    labels: Integer[np.ndarray, "samples"]
    class_names: tuple[str, ...]

    def rows(self, rows: Integer[np.ndarray, "rows"]) -> "LabelledImages":
        """Return the samples in ``rows``."""
        return LabelledImages(self.images[rows], self.labels[rows], self.class_names)


@dataclass(frozen=True, eq=False)
class GivenImages:
    """Images in memory: the content of the npz files that a configuration names.

    Attributes:
        images: All images, except the test images if there are any.
        test: The test images.
    """

    images: LabelledImages
    test: LabelledImages | None = None


def array_dataset(
    name: str,
    source: LabelledImages,
    test: LabelledImages | None,
    validation: float,
    statistics: tuple[Statistics, Statistics] | None = None,
) -> Dataset:
    """Return ``source`` with its held-out splits.

    Args:
        name: Name of the data set.
        source: All images, except the test images if there are any.
        test: Test images; None: a fifth of ``source``, stratified by class.
        validation: Fraction of the other images that is held out, stratified by class.
        statistics: Mean and standard deviation of the channels; None: computed from the training images.

    Raises:
        UserError: A class has no training image.
    """
    if test is None:
        source, test = _hold_out(source, TEST_FRACTION, SplitSeed.TEST)
    train, val = _hold_out(source, validation, SplitSeed.VALIDATION)
    check_every_class(name, train, "training image")
    train_split, val_split, test_split = _split(train), _split(val), _split(test)
    mean, std = statistics or channel_statistics(train_split.images)
    held_out = {name: split for name, split in (("val", val_split), ("test", test_split)) if len(split)}
    return Dataset(
        name=name,
        class_names=source.class_names,
        channels=train_split.images.shape[1],
        image_size=train_split.images.shape[2],
        crop=1.0,
        mean=mean,
        std=std,
        train=train_split,
        val=held_out.get("val"),
        test=held_out.get("test"),
        fingerprint=fingerprint(source.class_names, train_split, (*mean, *std)),
        held_out=held_out_fingerprints(dict.fromkeys(held_out, source.class_names), held_out),
    )


def _hold_out(source: LabelledImages, fraction: float, seed: int) -> tuple[LabelledImages, LabelledImages]:
    """Split off ``fraction`` of every class, rounded, but never a whole class."""
    # RandomState, not default_rng: its stream does not change between versions of NumPy, so neither do the splits.
    order = np.random.RandomState(seed).permutation(len(source.labels))
    order = order[np.argsort(source.labels[order], kind="stable")]
    is_held = np.zeros(len(order), dtype=bool)
    for members in np.split(order, np.flatnonzero(np.diff(source.labels[order])) + 1):
        is_held[members[: min(round(fraction * len(members)), len(members) - 1)]] = True
    return source.rows(np.flatnonzero(~is_held)), source.rows(np.flatnonzero(is_held))


def check_every_class(name: str, source: LabelledImages, required: str) -> None:
    """Raise UserError if a class of ``source``, part of the data called ``name``, has no image.

    Args:
        name: Name of the data, for the error message.
        source: The images.
        required: What every class needs, for the error message, such as "training image".
    """
    counts = np.bincount(source.labels, minlength=len(source.class_names))
    missing = [source.class_names[row] for row in np.flatnonzero(counts == 0)]
    if missing:
        raise UserError(f"{name} has no {required} of class {some_of(missing)}: every class needs one")


def _split(source: LabelledImages) -> ArraySplit:
    images = torch.from_numpy(source.images).permute(0, 3, 1, 2).contiguous()
    return ArraySplit(images, torch.from_numpy(source.labels.astype(np.int64)))


def relabelled(source: LabelledImages, class_names: Sequence[str], name: str) -> ArraySplit:
    """Return all images of ``source``, with labels that are rows of ``class_names``.

    Args:
        source: Images of some of these classes.
        class_names: The classes of a network.
        name: Name of the data, for the error message.

    Raises:
        UserError: An image is of a class that is not in ``class_names``.
    """
    labels = labels_among(class_names, source.class_names, source.labels, name)
    return ArraySplit(torch.from_numpy(source.images).permute(0, 3, 1, 2).contiguous(), labels)


def labels_among(
    class_names: Sequence[str], own_names: Sequence[str], labels: Integer[np.ndarray, " samples"], name: str
) -> Int64[Tensor, " samples"]:
    """Convert labels that are rows of ``own_names`` to rows of ``class_names``; errors as :func:`relabelled`."""
    check_known_classes([own_names[int(row)] for row in np.unique(labels)], class_names, name)
    row_of = {class_name: row for row, class_name in enumerate(class_names)}
    rows = np.array([row_of.get(own_name, 0) for own_name in own_names])
    return torch.from_numpy(rows[labels].astype(np.int64))


def channel_statistics(images: UInt8[Tensor, "samples channels size size"]) -> tuple[Statistics, Statistics]:
    """Return mean and standard deviation of each channel, for pixels in 0..1.

    The sums are integers, so the result (and with it the fingerprint) is the same on every machine.
    """
    levels = torch.arange(256)
    means, deviations = [], []
    for channel in images.unbind(1):
        counts = torch.bincount(channel.flatten(), minlength=256)
        pixels, total, squares = (int((counts * levels**power).sum()) for power in range(3))
        means.append(total / (255 * pixels))
        deviation = math.sqrt(pixels * squares - total**2) / (255 * pixels)
        deviations.append(deviation or 1.0)  # a channel without contrast is only centred
    return tuple(means), tuple(deviations)
