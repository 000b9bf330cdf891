"""What a source hands over: named classes, pixel statistics and up to three splits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Int64, UInt8
from torch import Tensor

from peerdistill.data.stored import StoredPictures


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Images that are held in memory, all of one size."""

    images: UInt8[Tensor, "samples channels size size"]
    labels: Int64[Tensor, "samples"]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class FolderSplit:
    """Picture files, decoded when they are needed or found decoded already."""

    paths: tuple[str, ...]
    labels: Int64[Tensor, "samples"]
    squares: StoredPictures
    """What evaluation sees of the pictures."""
    shrunk: StoredPictures
    """What training takes random parts from."""
    image_size: int
    """Side in pixels of the squares made from the pictures."""
    crop: float
    """Part of the shorter side that evaluation sees."""
    channels: int

    def __len__(self) -> int:
        return len(self.paths)


Split = ArraySplit | FolderSplit
"""One part of a data set. A sample's index is its row here: the training split's row is the memory bank's row."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A source with its splits; ``val`` or ``test`` is None where the source leaves no image for it."""

    name: str
    class_names: tuple[str, ...]
    channels: int
    """1 (grey) or 3 (RGB)."""
    image_size: int
    """Side of the square images in pixels."""
    crop: float
    """Part of a picture's shorter side that evaluation sees (see `peerdistill.data.pictures.fit`)."""
    mean: tuple[float, ...]
    """Mean of each channel, of pixels in 0..1."""
    std: tuple[float, ...]
    """Standard deviation of each channel, of pixels in 0..1."""
    train: Split
    val: Split | None
    test: Split | None
    fingerprint: str
    """16 hex digits of what a run depends on, so that going on with other data can be refused."""
    skipped: int = 0
    """Unreadable pictures that were left out of all splits together."""


def fingerprint(
    class_names: Sequence[str],
    pixel_statistics: Sequence[float],
    labels: Int64[Tensor, "samples"],
    files: Sequence[str] = (),
) -> str:
    """Return 16 hex digits that change with the training data.

    Args:
        class_names: Names in the order of the labels.
        pixel_statistics: Mean and standard deviation of the channels; they stand for the pixels of arrays.
        labels: Of the training images, in the order of their rows.
        files: Paths of a folder's training pictures relative to it, in the order of their rows.
    """
    parts = (tuple(class_names), tuple(pixel_statistics), len(labels), tuple(files))
    digest = hashlib.sha256(ascii(parts).encode())
    digest.update(labels.numpy().astype("<i8").tobytes())
    return digest.hexdigest()[:16]
