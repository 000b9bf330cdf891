"""What a source hands over: named classes, pixel statistics and up to three splits."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from peerdistill.data.stored import StoredPictures
from peerdistill.errors import UserError, some_of


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
    files: tuple[str, ...] = ()
    """Each path relative to the folder of the split, in POSIX form."""
    digests: UInt8[np.ndarray, "samples digest"] = field(default_factory=lambda: np.empty((0, 0), np.uint8))
    """Of the content of each file, see `peerdistill.data.digests`."""

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
    """16 hex digits of all that decides what training learns, the content of the images included."""
    held_out: Mapping[str, str] = field(default_factory=dict)
    """The fingerprints of "val" and "test", where there are such images."""
    skipped: int = 0
    """Unreadable pictures that were left out of all splits together."""


def fingerprint(class_names: Sequence[str], split: Split, pixel_statistics: Sequence[float] = ()) -> str:
    """Return 16 hex digits that change with the images of a split, their order, their labels and their files' names.

    They do not depend on where the files are or when they were written.

    Args:
        class_names: Names in the order of the labels.
        split: The images. Of pictures in files the content of the files counts, not what was decoded.
        pixel_statistics: Mean and standard deviation of the channels, where training depends on them.
    """
    is_array = isinstance(split, ArraySplit)
    content = split.images.numpy() if is_array else split.digests
    files = () if is_array else split.files
    assert len(content) == len(split), "every image has a row"
    parts = (tuple(class_names), tuple(pixel_statistics), content.shape, tuple(files))
    digest = hashlib.sha256(ascii(parts).encode())
    digest.update(split.labels.numpy().astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(content).data)
    return digest.hexdigest()[:16]


def check_known_classes(found: Iterable[str], class_names: Sequence[str], source: str) -> None:
    """Raise UserError where ``found``, the classes of ``source``, are not all among a run's ``class_names``."""
    known = set(class_names)
    unknown = next((name for name in found if name not in known), None)
    if unknown is not None:
        raise UserError(f"class '{unknown}' of {source} is none of the run's classes: {some_of(list(class_names))}")


def contents(split: Split) -> Int64[np.ndarray, "files"]:
    """Return a number for the content of each file of a split, sorted; nothing for images in memory.

    Two files of the same content have the same number; others differ, but for one in 2^64.
    """
    if isinstance(split, ArraySplit):
        return np.empty(0, dtype=np.int64)
    return np.sort(np.ascontiguousarray(split.digests[:, :8]).view("<i8").astype(np.int64).ravel())


def held_out_fingerprints(
    class_names: Mapping[str, Sequence[str]], splits: Mapping[str, Split | None]
) -> dict[str, str]:
    """Return the fingerprint of each split that is there.

    Args:
        class_names: Of each split, in the order of its labels.
        splits: By name.
    """
    return {name: fingerprint(class_names[name], split) for name, split in splits.items() if split is not None}
