"""The position of a batch in training, and its samples."""

from typing import NamedTuple

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


class Step(NamedTuple):
    """The samples of one batch, and its position."""

    epoch: int
    number: int
    """Within the epoch, from 0."""
    rows: Int64[Tensor, "batch"]
    earlier: Int64[Tensor, "batch"] | None = None
    """How often the epoch had each image before; None: never."""

    @property
    def occurrences(self) -> list[Occurrence]:
        """The images of the batch."""
        rows = self.rows.tolist()
        earlier = [0] * len(rows) if self.earlier is None else self.earlier.tolist()
        return [Occurrence(self.epoch, row, before) for row, before in zip(rows, earlier, strict=True)]
