"""What the trainer needs of training batches, and their groups: one group per optimizer step."""

from collections.abc import Generator, Iterator
from itertools import islice
from typing import Protocol, runtime_checkable

from torch import Tensor

from peerdistill.evaluation import LabelledBatch


@runtime_checkable
class IndexedBatch(LabelledBatch, Protocol):
    """What the trainer reads of a batch."""

    @property
    def indices(self) -> Tensor:
        """Rows of the samples in the training set (B,)."""
        ...

    @property
    def targets(self) -> Tensor | None:
        """Class distributions of the first samples, whose images are mixtures (mixed, classes), or None."""
        ...


@runtime_checkable
class TrainingBatches(Protocol):
    """Batches whose order and augmentation depend on epoch and position only."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[IndexedBatch]:
        """Yield the batches of ``epoch`` from number ``start`` on."""
        ...


class StepGroups:
    """The batches of every optimizer step. The last step of an epoch may have fewer than the others.

    A group is complete before any of its batches is used, so a failure to load one never leaves a step half done. Only
    the images of a group are in memory together, not the activations.

    Args:
        batches: The training batches.
        size: Batches per step.
    """

    def __init__(self, batches: TrainingBatches, size: int):
        self._batches = batches
        self._size = size

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return -(-self._batches.steps_per_epoch // self._size)

    def epoch(self, epoch: int, start: int = 0) -> Generator[list[IndexedBatch]]:
        """Yield the groups of ``epoch`` from step ``start`` on. Loading stops when the generator is closed."""
        first = min(start * self._size, self._batches.steps_per_epoch)
        batches = self._batches.epoch(epoch, first)
        try:
            while group := list(islice(batches, self._size)):
                yield group
        finally:
            if isinstance(batches, Generator):
                batches.close()
