"""A queue of embeddings: what every peer said of the latest samples, for data too large for a memory bank.

Axes: M peers, B batch, L length, E embedding width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.numerics import upcast

EMPTY = -1
"""Label of a place that was not filled yet."""


class EmbeddingQueue(nn.Module):
    """Unit rows of the last L samples, those of all peers in the same place; a new sample takes the oldest one's.

    Rows, labels and the place that comes next are buffers: they carry no gradient, move with the module and are part of
    its ``state_dict``.

    Args:
        peers: Number of peers M.
        length: Number of samples L that are kept.
        width: Embedding width E.
        dtype: Precision in which rows are kept.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import EmbeddingQueue
        >>> queue = EmbeddingQueue(peers=2, length=3, width=8)
        >>> queue.push(torch.randn(2, 4, 8), torch.tensor([5, 6, 7, 8]))  # the fourth sample replaces the first
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
        """Put a batch in, in its order; of one longer than the queue the last L samples."""
        length, batch = len(self.labels), len(labels_B)
        kept = min(length, batch)
        places = (self.next + torch.arange(batch - kept, batch, device=self.labels.device)) % length
        with torch.autocast(self.rows.device.type, enabled=False):
            fresh_MBE = F.normalize(upcast(embeddings_MBE[:, -kept:]), dim=-1)
        self.rows[:, places] = fresh_MBE.to(self.rows.dtype)
        self.labels[places] = labels_B[-kept:]
        self.next.copy_((self.next + batch) % length)

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        peers, length, width = self.rows.shape
        return f"peers={peers}, length={length}, width={width}"
