"""Base class of the terms that contrast embeddings with those in a memory bank or a queue.

Axes: V views (peers, or a teacher and its student), B batch, D feature width, E embedding width.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.contrast import BankContrastOptions, memory_for
from peerdistill.terms.batch import Batch


class BankContrast(nn.Module):
    """A linear embedding head for each view, and a memory bank or queue of the views' past embeddings.

    Memories hold embeddings of clean images: mixed images are left out.

    Args:
        feature_widths: Width D of each view's penultimate features.
        train_labels: Label of every training sample.
        options: Options of the contrast.

    Raises:
        UserError: If an option is out of range or the labels leave no negatives.
    """

    def __init__(
        self, feature_widths: Sequence[int], train_labels: Int[Tensor, " samples"], options: BankContrastOptions
    ):
        super().__init__()
        options.check()
        self.options = options
        self.heads = nn.ModuleList(nn.Linear(width, options.width) for width in feature_widths)
        self.memory = memory_for(len(feature_widths), train_labels, options)

    def contrast(self, features: Iterable[Tensor], batch: Batch) -> Float[Tensor, ""]:
        """Return the loss over pairs of views, given each view's features of the batch (B, D).

        In training mode the memory is updated with the embeddings after the loss was computed. The gradient is not
        affected, because it was computed with the loss. In evaluation mode the memory does not change.

        Each of several processes computes the losses of its share of the anchors, unless Z is that of the whole batch.
        If it holds a shard of the bank, it computes the part of its rows in the losses of all anchors.
        """
        embeddings_VBE = torch.stack([head(view) for head, view in zip(self.heads, features, strict=True)])
        found = self.memory.lookup(batch.labels, batch.indices, batch.exchange.reduced)
        options = {"objective": self.options.objective, "temperature": self.options.temperature}
        options |= self.pair_options(embeddings_VBE, found)
        is_whole = self.memory.is_sharded or options.get("normaliser") == "batch"
        share = None if is_whole else batch.exchange.share(len(batch.labels))
        if share is None:
            loss = self.memory.nce(embeddings_VBE, **found, **options)
        else:
            own = self.memory.nce(embeddings_VBE[:, share], **self.memory.narrowed(found, share), **options)
            loss = batch.exchange.total(own * len(batch.labels[share]) / len(batch.labels))
        if self.training:
            self.memory.update(embeddings_VBE, batch.labels, batch.indices)
        return loss

    def pair_options(self, embeddings_VBE: Tensor, found: dict[str, Any]) -> dict[str, Any]:
        """Return further arguments of the loss, ``views`` and ``normaliser``, given the result of the lookup."""
        raise NotImplementedError
