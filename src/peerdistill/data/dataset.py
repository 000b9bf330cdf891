"""Data sets: named classes, channel statistics and up to three splits."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from peerdistill.data.config import Interpolation, per_channel
from peerdistill.data.images.digests import as_integers
from peerdistill.data.images.reader import PictureReader
from peerdistill.data.packed_names import PackedNames
from peerdistill.errors import UserError, some_of


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Images in memory, all of the same size."""

    images: UInt8[Tensor, "samples channels size size"]
    labels: Int64[Tensor, "samples"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class FolderSplit:
    """Picture files, decoded when they are loaded or read from the cache."""

    paths: PackedNames
    """Their names without the folder are those below the folder of the split, in POSIX form."""
    labels: Int64[Tensor, "samples"]
    eval_reader: PictureReader
    """Reads the central crops for evaluation."""
    train_reader: PictureReader
    """Reads the resized pictures from which training takes random crops."""
    image_size: int
    """Side in pixels of the images."""
    crop: float
    """Fraction of the shorter side that evaluation uses."""
    channels: int
    digests: UInt8[np.ndarray, "samples digest"] = field(default_factory=lambda: np.empty((0, 0), np.uint8))
    """Digest of the content of each file, see `peerdistill.data.images.digests`."""
    interpolation: Interpolation = "bilinear"
    """Filter for resizing the random crops of training."""

    def __len__(self) -> int:
        return len(self.paths)


Split = ArraySplit | FolderSplit
"""One part of a data set. The index of a sample is its row here, and for training samples its row in a memory bank."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set with its splits; ``val`` or ``test`` is None if it has no images."""

    name: str
    class_names: tuple[str, ...]
    channels: int
    """1 (grey) or 3 (RGB)."""
    image_size: int
    """Side of the square images in pixels."""
    crop: float
    """Fraction of the shorter side that evaluation uses (see `peerdistill.data.images.preprocess.fit`)."""
    mean: tuple[float, ...]
    """Mean of each channel, for pixels in 0..1."""
    std: tuple[float, ...]
    """Standard deviation of each channel, for pixels in 0..1."""
    train: Split
    val: Split | None
    test: Split | None
    fingerprint: str
    """16 hex digits, a digest of everything that training uses, including the content of the images."""
    held_out: Mapping[str, str] = field(default_factory=dict)
    """The fingerprints of "val" and "test", if they have images."""
    skipped: int = 0
    """Number of unreadable pictures that were left out of the splits."""
    interpolation: Interpolation = "bilinear"
    """Filter with which pictures are resized."""


D = TypeVar("D", bound=Dataset)


def normalised_by(data: D, mean: Sequence[float] | None, std: Sequence[float] | None) -> D:
    """Return ``data`` with other channel statistics: one value or three for RGB; None keeps those of the data."""
    given = {"mean": mean, "std": std}
    chosen = {name: per_channel(values, data.channels) for name, values in given.items() if values is not None}
    return replace(data, **chosen) if chosen else data


def fingerprint(class_names: Sequence[str], split: Split, pixel_statistics: Sequence[float] = ()) -> str:
    """Return a digest of the images of a split, their order, their labels and the names of their files.

    It does not depend on the location of the files or on their times.

    Args:
        class_names: Names in the order of the labels.
        split: The images. For picture files, the digest is of the content of the files, not of the decoded pixels.
        pixel_statistics: Mean and standard deviation of the channels, if training uses them.

    Returns:
        16 hex digits.
    """
    is_array = isinstance(split, ArraySplit)
    content = split.images.numpy() if is_array else split.digests
    files = () if is_array else tuple(split.paths.inside)
    assert len(content) == len(split), "every image has a row"
    parts = (tuple(class_names), tuple(pixel_statistics), content.shape, files)
    digest = hashlib.sha256(ascii(parts).encode())
    digest.update(split.labels.numpy().astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(content).data)
    return digest.hexdigest()[:16]


def check_known_classes(found: Iterable[str], class_names: Sequence[str], source: str) -> None:
    """Raise UserError if a class in ``found``, the classes of ``source``, is not among a run's ``class_names``."""
    known = set(class_names)
    unknown = next((name for name in found if name not in known), None)
    if unknown is not None:
        raise UserError(f"class '{unknown}' of {source} is not a class of the run: it has {some_of(list(class_names))}")


def contents(split: Split) -> Int64[np.ndarray, "files"]:
    """Return a 64-bit digest of the content of each file of a split, sorted; nothing for images in memory."""
    if isinstance(split, ArraySplit):
        return np.empty(0, dtype=np.int64)
    return np.sort(as_integers(split.digests))


def held_out_fingerprints(
    class_names: Mapping[str, Sequence[str]], splits: Mapping[str, Split | None]
) -> dict[str, str]:
    """Return the fingerprint of each split that exists.

    Args:
        class_names: Class names of each split, in the order of its labels.
        splits: Splits by name.
    """
    return {name: fingerprint(class_names[name], split) for name, split in splits.items() if split is not None}
