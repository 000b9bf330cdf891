"""What the terms that contrast embeddings with remembered ones have in common.

Axes: V views (peers, or a teacher and its student), B batch, D feature width, E embedding width.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.contrast import RememberedOptions, memory_for
from peerdistill.terms.batch import Batch


class RememberedContrast(nn.Module):
    """A linear embedding head for every view, and a memory of what the views said before.

    Args:
        feature_widths: Width D of each view's penultimate features.
        train_labels: Label of every training sample.
        options: Everything else.

    Raises:
        UserError: Where the options are out of range or the labels leave no negatives.
    """

    def __init__(
        self, feature_widths: Sequence[int], train_labels: Int[Tensor, " samples"], options: RememberedOptions
    ):
        super().__init__()
        options.check()
        self.options = options
        self.heads = nn.ModuleList(nn.Linear(width, options.width) for width in feature_widths)
        self.memory = memory_for(len(feature_widths), train_labels, options)

    def contrast(self, features: Iterable[Tensor], batch: Batch) -> Float[Tensor, ""]:
        """Return the loss over pairs of views, given each view's features of the batch (B, D).

        In training mode the memory takes the embeddings in once all pairs were scored; the gradient is known by then
        and does not change. In evaluation mode it stays as it is.
        """
        embeddings_VBE = torch.stack([head(view) for head, view in zip(self.heads, features, strict=True)])
        looked_up = self.memory.look_up(batch.labels, batch.indices)
        loss = self.memory.nce(
            embeddings_VBE,
            **looked_up,
            objective=self.options.objective,
            temperature=self.options.temperature,
            **self.pairing(embeddings_VBE, looked_up),
        )
        if self.training:
            self.memory.remember(embeddings_VBE, batch.labels, batch.indices)
        return loss

    def pairing(self, embeddings_VBE: Tensor, looked_up: dict[str, Any]) -> dict[str, Any]:
        """Return what the loss is told besides, for a batch and what it looks up: views and the normaliser Z."""
        raise NotImplementedError
