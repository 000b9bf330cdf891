"""The position of a batch in training, and its samples."""

from typing import NamedTuple

from jaxtyping import Int64
from torch import Tensor


class Step(NamedTuple):
    """The samples of one batch, and its position."""

    epoch: int
    number: int
    """Within the epoch, from 0."""
    rows: Int64[Tensor, "batch"]
