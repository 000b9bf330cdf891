"""The memory bank: one embedding of every training sample by every peer, updated when the sample is in a batch.

Axes: M peers, N samples, B batch, E embedding width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.contrast.shard import DealtRows
from peerdistill.numerics import min_float32, without_autocast

_DRAWN_AT_ONCE = 2**16


class MemoryBank(nn.Module):
    """Unit embeddings of every training sample by every peer, moving averages of the peers' embeddings.

    The rows are a buffer: they have no gradient, move between devices with the module and are part of its
    ``state_dict``, so a resumed run continues with its bank. They start as random directions.

    Args:
        peers: Number of peers M.
        samples: Number of training samples N.
        width: Embedding width E.
        momentum: Weight of the old row in an update (0.5 in the paper's code).
        dtype: Data type of the rows. Updates are computed in at least float32.
        dealt: Which rows this process holds, if several share the bank. Rows start from the same values as in a single
            process.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import MemoryBank
        >>> bank = MemoryBank(peers=2, samples=100, width=8)
        >>> bank.update(torch.randn(2, 4, 8), torch.tensor([3, 14, 15, 92]))
        >>> torch.allclose(bank.rows.norm(dim=-1), torch.ones(2, 100))
        True
    """

    rows: Float[Tensor, "peers samples width"]

    def __init__(
        self,
        peers: int,
        samples: int,
        width: int,
        momentum: float = 0.5,
        dtype: torch.dtype = torch.float32,
        dealt: DealtRows | None = None,
    ):
        super().__init__()
        self.momentum = momentum
        self.dealt = dealt
        own = samples if dealt is None else len(dealt.samples)
        self.register_buffer("rows", torch.empty(peers, own, width, dtype=dtype))
        for rows_NE in self.rows:
            self._draw(rows_NE, samples)

    def _draw(self, rows_nE: Tensor, samples: int) -> None:
        """Draw the rows of all samples in turn, and keep those of this process.

        A few are drawn at a time, to need little more memory than the bank itself.
        """
        # The last draw is longer than the others: PyTorch draws fewer than 16 numbers in another way.
        starts = range(0, max(1, samples - _DRAWN_AT_ONCE + 1), _DRAWN_AT_ONCE)
        for start, stop in zip(starts, (*starts[1:], samples), strict=True):
            drawn_nE = F.normalize(torch.randn(stop - start, rows_nE.shape[1]), dim=-1).to(rows_nE.dtype)
            if self.dealt is None:
                rows_nE[start:stop] = drawn_nE
            else:
                indices_n = torch.arange(start, stop)
                owned_n = self.dealt.owns(indices_n)
                rows_nE[self.dealt.rows_of(indices_n[owned_n])] = drawn_nE[owned_n]

    @torch.no_grad()
    def update(self, embeddings_MBE: Float[Tensor, "peers batch width"], indices_B: Int[Tensor, " batch"]) -> None:
        """Move the rows of the samples ``indices_B`` towards their embeddings.

        ``row <- normalise(momentum * row + (1 - momentum) * normalise(embedding))``. The row of a sample that occurs
        more than once in the batch moves once, towards the mean of its normalised embeddings. Samples whose rows other
        processes hold are left to these.
        """
        if self.dealt is not None:
            owned_B = self.dealt.owns(indices_B)
            embeddings_MBE, indices_B = embeddings_MBE[:, owned_B], self.dealt.rows_of(indices_B[owned_B])
        precise = min_float32(self.rows.dtype)
        with without_autocast(self.rows):
            fresh_MBE = F.normalize(embeddings_MBE.to(precise), dim=-1)
            same_BB = (indices_B[:, None] == indices_B[None, :]).to(fresh_MBE.dtype)
            # All occurrences of a sample write the same values, so the order of the writes does not matter.
            fresh_MBE = (same_BB / same_BB.sum(1, keepdim=True)) @ fresh_MBE
            moved_MBE = torch.lerp(fresh_MBE, self.rows[:, indices_B].to(precise), self.momentum)
            self.rows[:, indices_B] = F.normalize(moved_MBE, dim=-1).to(self.rows.dtype)

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        peers, samples, width = self.rows.shape
        return f"peers={peers}, samples={samples}, width={width}, momentum={self.momentum}"
