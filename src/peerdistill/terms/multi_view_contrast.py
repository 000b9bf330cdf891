"""Multi-view contrast of the peers' embeddings with each other's memory banks or queues (eq. 6 to 11)."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from peerdistill.cohort import CohortOutput
from peerdistill.contrast import ContrastOptions
from peerdistill.terms.bank_contrast import BankContrast
from peerdistill.terms.batch import Batch


class MultiViewContrast(BankContrast):
    """L_contrast (eq. 6 to 11). Each peer has a linear embedding head and a memory bank or a queue.

    Args:
        feature_widths: Width D of each peer's penultimate features, for at least 2 peers.
        train_labels: Label of every training sample.
        options: Options of the contrast.

    Raises:
        UserError: If an option is out of range or the labels leave no negatives.

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
        self._pair_options = {"normaliser": options.normaliser, "views": options.views}

    def pair_options(self, embeddings_VBE: Tensor, found: dict[str, Any]) -> dict[str, Any]:
        """Return the normaliser and the views of the options."""
        del embeddings_VBE, found
        return self._pair_options

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss over pairs of peers, and update the memory in training mode."""
        return self.contrast(out.features, batch)
