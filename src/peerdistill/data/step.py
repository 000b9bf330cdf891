"""The position of a batch in training, and its samples."""

from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

Images = UInt8[Tensor, "batch channels height width"]


class Share(NamedTuple):
    """The part of every batch that one of several processes loads: consecutive images, as evenly as possible.

    Example:
        >>> [Share(index, count=3).of(8) for index in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
    """

    index: int
    """Number of the process."""
    count: int
    """Number of processes."""

    def of(self, samples: int) -> slice:
        """Return the positions of this share in a batch of ``samples`` images."""
        return slice(self.index * samples // self.count, (self.index + 1) * samples // self.count)

    def positions(self, samples: int) -> Int64[Tensor, " own"] | None:
        """Return the positions of this share as a tensor; None: it is the whole batch."""
        return None if self.count == 1 else torch.arange(samples)[self.of(samples)]


WHOLE = Share(0, 1)
"""The share of a single process."""


class Occurrence(NamedTuple):
    """An image of a batch. Its random augmentation depends on nothing else but the seed."""

    epoch: int
    row: int
    """Row of the image in its split."""
    earlier: int
    """How often the epoch had the image before."""


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

    @property
    def occurrences(self) -> list[Occurrence]:
        """The images of the batch that this process loads."""
        earlier = self.rows.new_zeros(len(self.rows)) if self.earlier is None else self.earlier
        pairs = zip(self.chosen(self.rows).tolist(), self.chosen(earlier).tolist(), strict=True)
        return [Occurrence(self.epoch, row, before) for row, before in pairs]

    def chosen(self, values: Tensor) -> Tensor:
        """Return those of the values, one per image of the batch, that belong to images which this process loads."""
        return values if self.loaded is None else values[self.loaded.to(values.device, non_blocking=True)]
