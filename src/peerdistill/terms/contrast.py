"""Peers that learn from each other's embeddings, against what they said of other samples before."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from peerdistill.cohort import CohortOutput
from peerdistill.contrast import ContrastOptions
from peerdistill.terms.batch import Batch
from peerdistill.terms.remembered import RememberedContrast


class MultiViewContrast(RememberedContrast):
    """L_contrast (eq. 6 to 11): a linear embedding head and a memory bank, or a queue, for every peer.

    Args:
        feature_widths: Width D of the penultimate features of each of at least 2 peers.
        train_labels: Label of every training sample.
        options: Everything else.

    Raises:
        UserError: Where the options are out of range or the labels leave no negatives.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort
        >>> from peerdistill.contrast import ContrastOptions
        >>> from peerdistill.terms import Batch, MultiViewContrast
        >>> cohort = Cohort("resnet20", classes=10, peers=2)
        >>> train_labels = torch.arange(500) % 10
        >>> term = MultiViewContrast(cohort.widths, train_labels, ContrastOptions(count=32, temperature=0.1))
        >>> indices = torch.tensor([3, 14, 159, 265])
        >>> loss = term(cohort(torch.rand(4, 3, 32, 32)), Batch(train_labels[indices], indices))
        >>> loss.backward()
    """

    def __init__(
        self,
        feature_widths: Sequence[int],
        train_labels: Int[Tensor, " samples"],
        options: ContrastOptions | None = None,
    ):
        options = options or ContrastOptions()
        super().__init__(feature_widths, train_labels, options)
        self._pairing = {"normaliser": options.normaliser, "views": options.views}

    def pairing(self, embeddings_VBE: Tensor, looked_up: dict[str, Any]) -> dict[str, Any]:
        """Return the options' normaliser and views."""
        del embeddings_VBE, looked_up
        return self._pairing

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss over the pairs of peers, and update the memory in training mode."""
        return self.contrast(out.features, batch)
