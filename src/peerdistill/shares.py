"""The share of a batch that belongs to one of several processes that train together."""

from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor


class Share(NamedTuple):
    """The part of every batch that belongs to one of several processes: consecutive samples, as even as possible.

    Example:
        >>> [Share(number, processes=3).of(8) for number in range(3)]
        [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
    """

    number: int
    """Number of the process, from 0."""
    processes: int
    """Number of processes."""

    def of(self, samples: int) -> slice:
        """Return the positions of this share in a batch of ``samples`` samples."""
        return slice(self.number * samples // self.processes, (self.number + 1) * samples // self.processes)

    @property
    def dealt(self) -> slice:
        """The positions of this share if samples are dealt out to the processes in turn."""
        return slice(self.number, None, self.processes)

    def positions(self, samples: int) -> Int64[Tensor, " own"] | None:
        """Return the positions of this share as a tensor; None: it is the whole batch."""
        return None if self.processes == 1 else torch.arange(samples)[self.of(samples)]


WHOLE = Share(0, 1)
"""The share of a single process."""
