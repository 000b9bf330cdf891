"""The shard of a memory bank that one of several processes holds: embeddings travel, rows never do.

As in Partial FC (An et al., "Killing two birds with one stone: efficient and robust training of face recognition CNNs
by Partial FC", CVPR 2022), every process scores all anchors against its own rows. Sums over the rows of all processes,
and the anchors' gradients, are then sums over processes.

Axes: M peers, B batch, N samples, n samples of the shard, E embedding width.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from peerdistill.shares import Share

Total = Callable[[Tensor], Tensor]
"""Returns the sum of a tensor over all processes, without a gradient. It may overwrite the tensor."""


class DealtRows(nn.Module):
    """Which rows of a memory bank one of W processes holds, and where.

    Sorted by label, samples are dealt out to the processes in turn. So each shard has a W-th of the samples of each
    label, up to one.

    Args:
        labels_N: Label of every training sample.
        share: Which process this is, and of how many.

    Attributes:
        samples: The samples of the rows of this process.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import DealtRows
        >>> from peerdistill.shares import Share
        >>> dealt = DealtRows(torch.tensor([0, 1, 0, 1, 0, 1]), Share(number=1, processes=2))
        >>> dealt.samples
        tensor([2, 1, 5])
        >>> dealt.owns(torch.tensor([5, 0, 2]))
        tensor([ True, False,  True])
        >>> dealt.rows_of(torch.tensor([5, 2]))
        tensor([2, 0])
    """

    samples: Int[Tensor, " own"]
    _places: Int[Tensor, " samples"]

    def __init__(self, labels_N: Int[Tensor, " samples"], share: Share):
        super().__init__()
        self.share = share
        order_N = torch.argsort(labels_N, stable=True)
        places_N = torch.empty_like(order_N)
        places_N[order_N] = torch.arange(len(order_N), device=order_N.device)
        # Not part of checkpoints: computed from the labels, which are part of the data.
        self.register_buffer("samples", order_N[share.dealt].clone(), persistent=False)
        self.register_buffer("_places", places_N, persistent=False)

    def owns(self, samples: Int[Tensor, " some"]) -> Bool[Tensor, " some"]:
        """Return which samples have their rows in this process."""
        return self._places[samples] % self.share.processes == self.share.number

    def rows_of(self, samples: Int[Tensor, " some"]) -> Int[Tensor, " some"]:
        """Return the rows of samples in the shard of the process that has them."""
        return self._places[samples] // self.share.processes

    def embeddings_of(
        self, rows: Float[Tensor, "peers own width"], samples: Int[Tensor, " some"]
    ) -> Float[Tensor, "peers some width"]:
        """Return the rows of samples, with zeros for those that another process has.

        Args:
            rows: The rows of this process.
            samples: Indices of samples.
        """
        places = self.rows_of(samples).clamp(max=rows.shape[1] - 1)
        return rows[:, places] * self.owns(samples)[:, None]

    def extra_repr(self) -> str:
        """Show the share in ``repr``."""
        return f"shard {self.share.number + 1} of {self.share.processes}"


class Shard(NamedTuple):
    """The shard of a memory bank in one of several processes, and how these add up what they have computed."""

    rows: DealtRows
    """The rows of this process."""
    total: Total
    """The sum over all processes."""

    def totals(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Return the sum over processes of each of several tensors, in one exchange."""
        sums = self.total(torch.cat([part.flatten() for part in parts]))
        split = sums.split([part.numel() for part in parts])
        return [of_part.view_as(part) for of_part, part in zip(split, parts, strict=True)]
