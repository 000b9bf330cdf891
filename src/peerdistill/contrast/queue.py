"""A queue of the embeddings of recent samples, for data too large for a memory bank.

Axes: M peers, B batch, L queue length, E embedding width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.numerics import upcast, without_autocast

EMPTY = -1
"""Label of an entry that is not filled yet."""


class EmbeddingQueue(nn.Module):
    """Unit embeddings of the last L samples by every peer. A new sample repositions the oldest one.

    ``rows`` (M, L, E), ``labels`` (L,) and the position ``next`` of the next write are buffers: they have no gradient,
    move between devices with the module and are part of its ``state_dict``.

    Args:
        peers: Number of peers M.
        length: Number of samples L.
        width: Embedding width E.
        dtype: Data type of the rows.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import EmbeddingQueue
        >>> queue = EmbeddingQueue(peers=2, length=3, width=8)
        >>> queue.push(torch.randn(2, 4, 8), torch.tensor([5, 6, 7, 8]))  # the fourth sample repositions the first
        >>> queue.labels.sort().values
        tensor([6, 7, 8])
    """

    rows: Float[Tensor, "peers length width"]
    labels: Int[Tensor, " length"]
    next: Int[Tensor, ""]

    def __init__(self, peers: int, length: int, width: int, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.register_buffer("rows", torch.zeros(peers, length, width, dtype=dtype))
        self.register_buffer("labels", torch.full((length,), EMPTY))
        self.register_buffer("next", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, embeddings_MBE: Float[Tensor, "peers batch width"], labels_B: Int[Tensor, " batch"]) -> None:
        """Append a batch in its order. If it is longer than the queue, only its last L samples are kept."""
        length, batch = len(self.labels), len(labels_B)
        kept = min(length, batch)
        positions = (self.next + torch.arange(batch - kept, batch, device=self.labels.device)) % length
        with without_autocast(self.rows):
            fresh_MBE = F.normalize(upcast(embeddings_MBE[:, -kept:]), dim=-1)
        self.rows[:, positions] = fresh_MBE.to(self.rows.dtype)
        self.labels[positions] = labels_B[-kept:]
        self.next.copy_((self.next + batch) % length)

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        peers, length, width = self.rows.shape
        return f"peers={peers}, length={length}, width={width}"
