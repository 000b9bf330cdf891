"""The loader for the images of a split: from memory, or made in chunks by worker processes."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch

from peerdistill.data.array_images import ArrayImages
from peerdistill.data.array_loader import ArrayLoader
from peerdistill.data.augmentation import Augmentation
from peerdistill.data.chunk_loader import ChunkLoader
from peerdistill.data.dataset import ArraySplit, Split
from peerdistill.data.folder_images import FolderImages
from peerdistill.data.step import Images, Step
from peerdistill.processes import own_cores

_WORKERS_BESIDE_CPU = 2
# Every split has its own workers, and each of them takes memory.
_MOST_WORKERS = 8


@runtime_checkable
class ImageLoader(Protocol):
    """Loads images on the device as bytes."""

    def images(self, steps: Sequence[Step]) -> Iterator[Images]:
        """Yield the images of each step."""
        ...

    def close(self) -> None:
        """Stop the workers, if there are any. The next call of ``images`` starts new ones."""
        ...


def image_loader(
    split: Split, augmentation: Augmentation | None, seed: int, device: torch.device, workers: int | None
) -> ImageLoader:
    """Return a loader for the images of a split.

    Args:
        split: The images.
        augmentation: Augmentation of the images; None: the images of evaluation.
        seed: Seed of the augmentation.
        device: Device of the images.
        workers: Number of processes that make images which need work one by one: pictures, and on a GPU arrays whose
            pixels are changed. 0: this process makes them; None: :func:`workers_for`. The images do not depend on it.
    """
    if workers is None:
        workers = workers_for(device)
    if not isinstance(split, ArraySplit):
        return ChunkLoader(FolderImages(split, augmentation, seed), device, workers)
    if augmentation is None or not augmentation.changes_pixels:
        return ArrayLoader(split, augmentation, seed, device)
    # Training on a CPU keeps all cores busy: workers would only take them from it.
    return ChunkLoader(ArrayImages(split, augmentation, seed), device, 0 if device.type == "cpu" else workers)


def workers_for(device: torch.device) -> int:
    """Return the default number of workers for training on a device: a few cores on a CPU, which trains with the rest.

    A GPU leaves the cores to the workers, except one for the training process.
    """
    if device.type == "cpu":
        return min(_WORKERS_BESIDE_CPU, own_cores())
    return min(max(1, own_cores() - 1), _MOST_WORKERS)
