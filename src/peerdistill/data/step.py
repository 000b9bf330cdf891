"""The position of a batch in training, and its samples."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

Images = UInt8[Tensor, "batch channels height width"]


class Occurrence(NamedTuple):
    """An image of a batch. Its random augmentation depends on nothing else but the seed."""

    epoch: int
    row: int
    """Row of the image in its split."""
    earlier: int
    """How often the epoch had the image before."""


class Chunk(NamedTuple):
    """Images of a batch that are made together, as plain numbers: they are cheap to send to a worker process."""

    epoch: int
    step: int
    """Number of the batch within the epoch, from 0."""
    batch_size: int
    """Number of images of the whole batch."""
    positions: list[int]
    """Positions in the batch of the images of this chunk."""
    rows: list[int]
    earlier: list[int]

    @property
    def occurrences(self) -> list[Occurrence]:
        """The images."""
        return [Occurrence(self.epoch, row, earlier) for row, earlier in zip(self.rows, self.earlier, strict=True)]


class Step(NamedTuple):
    """The samples of one batch, and its position."""

    epoch: int
    number: int
    """Within the epoch, from 0."""
    rows: Int64[Tensor, "batch"]
    earlier: Int64[Tensor, "batch"] | None = None
    """How often the epoch had each image before; None: never."""
    loaded: Int64[Tensor, "loaded"] | None = None
    """Positions in the batch of the images that this process loads; None: all."""

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Yield the images of the batch that this process loads, up to ``size`` at a time."""
        earlier = torch.zeros_like(self.rows) if self.earlier is None else self.earlier
        columns = (torch.arange(len(self.rows)), self.rows, earlier)
        for parts in zip(*(self.chosen(column).split(size) for column in columns), strict=True):
            yield Chunk(self.epoch, self.number, len(self.rows), *(part.tolist() for part in parts))

    def chosen(self, values: Tensor) -> Tensor:
        """Return those of the values, one per image of the batch, that belong to images which this process loads."""
        return values if self.loaded is None else values[self.loaded.to(values.device, non_blocking=True)]
