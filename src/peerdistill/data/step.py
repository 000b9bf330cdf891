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
