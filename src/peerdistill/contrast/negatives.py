"""Negatives: training samples of other labels, drawn uniformly on the device.

Axes: B batch, S negatives, N samples.
"""

import warnings

import torch
from jaxtyping import Int
from torch import Tensor, nn

from peerdistill.errors import Note, UserError


class NegativeSampler(nn.Module):
    """Draws samples whose label is not the anchor's.

    With the samples in order of their labels, those of one label are one block. A draw from the samples outside
    the block is a draw from N - block positions, shifted past the block where it falls behind its start: uniform,
    with nothing rejected and no round trip to the host.

    Args:
        labels_N: Label of every training sample, 0 or more.
        count: Negatives S for each anchor. Where some label leaves fewer samples of other labels than that, S is
            what it leaves, and a warning says so.

    Raises:
        UserError: Where all samples have the same label, a label is negative, or there are none.
    """

    order: Int[Tensor, " samples"]
    starts: Int[Tensor, " labels"]
    sizes: Int[Tensor, " labels"]

    def __init__(self, labels_N: Int[Tensor, " samples"], count: int):
        super().__init__()
        if len(labels_N) == 0 or int(labels_N.min()) < 0:
            raise UserError("training labels must be numbers from 0 up, at least one of them")
        sizes = torch.bincount(labels_N)
        fewest = len(labels_N) - int(sizes.max())
        if fewest == 0:
            raise UserError("there are no negatives: all training samples have the same label")
        if count > fewest:
            warnings.warn(
                f"{count} negatives were asked for, {fewest} samples of other labels exist: {fewest} are drawn",
                category=Note,
                stacklevel=2,
            )
        self.count = min(count, fewest)
        # Computed from the labels, which the data has: nothing to keep in a checkpoint.
        self.register_buffer("order", torch.argsort(labels_N, stable=True), persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)

    def forward(
        self, labels_B: Int[Tensor, " batch"], generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch negatives"]:
        """Return S sample indices for each anchor label, with replacement."""
        size_B1 = self.sizes[labels_B][:, None]
        start_B1 = self.starts[labels_B][:, None]
        # 62 random bits: the remainder favours no sample by more than one part in 2^62 / N.
        bits_BS = torch.randint(2**62, (len(labels_B), self.count), generator=generator, device=self.order.device)
        position_BS = bits_BS.remainder_(len(self.order) - size_B1)
        position_BS += size_B1 * (position_BS >= start_B1)
        return self.order[position_BS]

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        return f"count={self.count}, samples={len(self.order)}, labels={len(self.sizes)}"
