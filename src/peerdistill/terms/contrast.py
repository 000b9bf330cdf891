"""Learning from each other's embeddings against memory banks.

Axes: M peers, B batch, D feature width, E embedding width.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput
from peerdistill.contrast import ContrastOptions, MemoryBank, NegativeSampler, multi_view_nce


class MultiViewContrast(nn.Module):
    """L_contrast (eq. 6 to 11): a linear embedding head for every peer, one bank, and negatives drawn per step.

    In training mode the bank is updated once all pairs were scored; the gradient is known by then and does not
    change. In evaluation mode the bank stays as it is.

    Args:
        peers: Number of peers M, at least 2.
        feature_width: Width D of the penultimate features.
        train_labels: Label of every training sample.
        options: Everything else.

    Raises:
        UserError: Where the options are out of range or the labels leave no negatives.
    """

    def __init__(
        self,
        peers: int,
        feature_width: int,
        train_labels: Int[Tensor, " samples"],
        options: ContrastOptions | None = None,
    ):
        super().__init__()
        self.options = options or ContrastOptions()
        self.options.check()
        width = self.options.width
        self.heads = nn.ModuleList(nn.Linear(feature_width, width) for _ in range(peers))
        self.bank = MemoryBank(peers, len(train_labels), width, self.options.momentum)
        self.negatives = NegativeSampler(train_labels, self.options.negatives)

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the loss over the pairs of peers, and update the bank in training mode."""
        embeddings_MBE = torch.stack([head(features) for head, features in zip(self.heads, out.features, strict=True)])
        loss = multi_view_nce(
            embeddings_MBE,
            self.bank.rows,
            indices,
            self.negatives(labels),
            temperature=self.options.temperature,
            normaliser=self.options.normaliser,
            views=self.options.views,
        )
        if self.training:
            self.bank.update(embeddings_MBE, indices)
        return loss
