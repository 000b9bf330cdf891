"""Data sets that are arrays in memory, and the digits of scikit-learn."""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

from peerdistill.data.dataset import ArraySplit, Dataset, fingerprint, held_out_fingerprints
from peerdistill.errors import UserError
from peerdistill.rng import SplitSeed

TEST_FRACTION = 0.2
"""Part of a source without test images of its own that becomes the test split."""

# A split must be the same for every run, whatever the run's seed.

Statistics = tuple[float, ...]
"""One number for each channel."""


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images as files hold them (channels last, labels of any integer type) with the names of their classes."""

    images: UInt8[np.ndarray, "samples size size channels"]
    labels: Integer[np.ndarray, "samples"]
    class_names: tuple[str, ...]

    def rows(self, rows: Integer[np.ndarray, "rows"]) -> "LabelledImages":
        """Return some of the samples."""
        return LabelledImages(self.images[rows], self.labels[rows], self.class_names)


def load_digits(validation: float) -> Dataset:
    """Return scikit-learn's digits with their held-out splits."""
    return array_dataset("digits", all_digits(), None, validation)


def all_digits() -> LabelledImages:
    """Return scikit-learn's 1,797 digits, 8 x 8 pixels, ink bright."""
    lines = _digits()
    # Ink is counted in 17 levels, 0..16.
    images = np.rint(lines[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
    return LabelledImages(images, lines[:, -1], tuple("0123456789"))


def _digits() -> Integer[np.ndarray, "samples pixels_and_label"]:
    """Return scikit-learn's table of digits.

    It is read from the installed package without importing that, which takes half a second and serves nothing else.
    """
    package = find_spec("sklearn")
    assert package is not None, "scikit-learn is required by this package"
    for place in package.submodule_search_locations or ():
        table = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if table.is_file():
            return np.loadtxt(table, dtype=np.int64, delimiter=",")
    from sklearn.datasets import load_digits  # its file has another place in this version

    pixels, labels = load_digits(return_X_y=True)
    return np.column_stack([pixels, labels]).astype(np.int64)


def array_dataset(
    name: str,
    source: LabelledImages,
    test: LabelledImages | None,
    validation: float,
    statistics: tuple[Statistics, Statistics] | None = None,
) -> Dataset:
    """Return ``source`` with its held-out splits.

    Args:
        name: Of the data set.
        source: All images that are not known to be for testing.
        test: Test images; None: a fifth of ``source``, stratified by class.
        validation: Fraction of the remaining images held out, stratified by class.
        statistics: Known mean and standard deviation of the channels; None: measured on the training images.

    Raises:
        UserError: A class has no training image.
    """
    if test is None:
        source, test = _hold_out(source, TEST_FRACTION, SplitSeed.TEST)
    train, val = _hold_out(source, validation, SplitSeed.VALIDATION)
    _check_classes_are_trained(name, train)
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
    """Divide into the part that is kept and ``fraction`` of every class, rounded, but never a whole class."""
    # RandomState, not default_rng: its stream is frozen, and a split must outlive NumPy versions.
    order = np.random.RandomState(seed).permutation(len(source.labels))
    order = order[np.argsort(source.labels[order], kind="stable")]
    is_held = np.zeros(len(order), dtype=bool)
    for members in np.split(order, np.flatnonzero(np.diff(source.labels[order])) + 1):
        is_held[members[: min(round(fraction * len(members)), len(members) - 1)]] = True
    return source.rows(np.flatnonzero(~is_held)), source.rows(np.flatnonzero(is_held))


def _check_classes_are_trained(name: str, train: LabelledImages) -> None:
    lost = set(range(len(train.class_names))) - set(train.labels.tolist())
    if lost:
        raise UserError(f"class '{train.class_names[min(lost)]}' of {name} has no training image")


def _split(source: LabelledImages) -> ArraySplit:
    images = torch.from_numpy(source.images).permute(0, 3, 1, 2).contiguous()
    return ArraySplit(images, torch.from_numpy(source.labels.astype(np.int64)))


def channel_statistics(images: UInt8[Tensor, "samples channels size size"]) -> tuple[Statistics, Statistics]:
    """Return mean and standard deviation of each channel, of pixels in 0..1.

    Whole numbers are summed, so that the result (and the fingerprint) is the same on every machine.
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
