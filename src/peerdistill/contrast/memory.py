"""A memory bank or a queue of past embeddings, and the negatives drawn from it.

Axes: M peers, B batch, N samples, E embedding width.
"""

import warnings
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.contrast.bank import MemoryBank
from peerdistill.contrast.nce import multi_view_nce, queue_nce
from peerdistill.contrast.options import BankContrastOptions
from peerdistill.contrast.queue import EmbeddingQueue
from peerdistill.contrast.samplers import AllSampler, NegativeSampler, SharedSampler, count_labels
from peerdistill.errors import PeerdistillWarning

_SAMPLERS = {"own": NegativeSampler, "shared": SharedSampler, "all": AllSampler}


class BankMemory(nn.Module):
    """A memory bank of all training samples, and a sampler of negatives: "own", "shared" or "all".

    Args:
        peers: Number of peers M.
        train_labels: Label of every training sample.
        options: Options of the contrast.

    Raises:
        UserError: If the labels leave no negatives.
    """

    nce = staticmethod(multi_view_nce)
    train_labels: Int[Tensor, " samples"]

    def __init__(self, peers: int, train_labels: Int[Tensor, " samples"], options: BankContrastOptions):
        super().__init__()
        self.sampler = _SAMPLERS[options.negatives](train_labels, options.count, options.replacement)
        dtype = getattr(torch, options.bank_dtype)
        self.bank = MemoryBank(peers, len(train_labels), options.width, options.momentum, dtype)
        self.register_buffer("train_labels", train_labels, persistent=False)

    def lookup(self, labels_B: Int[Tensor, " batch"], indices_B: Int[Tensor, " batch"]) -> dict[str, Any]:
        """Draw negatives, and return the arguments of ``nce`` other than the embeddings."""
        return {
            "banks": self.bank.rows,
            "indices": indices_B,
            "negatives": self.sampler(labels_B),
            "labels": self.train_labels,
        }

    @staticmethod
    def narrowed(found: dict[str, Any], anchors: slice) -> dict[str, Any]:
        """Return the result of :meth:`lookup` for some of the anchors."""
        negatives = found["negatives"]
        per_anchor = isinstance(negatives, Tensor) and negatives.ndim == 2
        return {
            **found,
            "indices": found["indices"][anchors],
            "negatives": negatives[anchors] if per_anchor else negatives,
        }

    def update(
        self,
        embeddings_MBE: Float[Tensor, "peers batch width"],
        labels_B: Int[Tensor, " batch"],
        indices_B: Int[Tensor, " batch"],
    ) -> None:
        """Move the batch's rows towards its embeddings."""
        del labels_B
        self.bank.update(embeddings_MBE, indices_B)


class QueueMemory(nn.Module):
    """A queue of recent embeddings. All entries whose label differs from the anchor's are negatives.

    Args:
        peers: Number of peers M.
        train_labels: Label of every training sample. The queue is at most as long as the training set; a shorter queue
            than ``options.count`` causes a warning.
        options: Options of the contrast.

    Raises:
        UserError: If the labels leave no negatives.
    """

    nce = staticmethod(queue_nce)

    def __init__(self, peers: int, train_labels: Int[Tensor, " samples"], options: BankContrastOptions):
        super().__init__()
        count_labels(train_labels)
        samples = len(train_labels)
        if options.count > samples:
            warnings.warn(
                f"the queue holds {samples} samples instead of {options.count}: there are no more training samples",
                category=PeerdistillWarning,
                stacklevel=2,
            )
        dtype = getattr(torch, options.bank_dtype)
        self.queue = EmbeddingQueue(peers, min(options.count, samples), options.width, dtype)

    def lookup(self, labels_B: Int[Tensor, " batch"], indices_B: Int[Tensor, " batch"]) -> dict[str, Any]:
        """Return the arguments of ``nce`` other than the embeddings."""
        del indices_B
        return {"queue": self.queue.rows, "queue_labels": self.queue.labels, "labels": labels_B}

    @staticmethod
    def narrowed(found: dict[str, Any], anchors: slice) -> dict[str, Any]:
        """Return the result of :meth:`lookup` for some of the anchors."""
        return {**found, "labels": found["labels"][anchors]}

    def update(
        self,
        embeddings_MBE: Float[Tensor, "peers batch width"],
        labels_B: Int[Tensor, " batch"],
        indices_B: Int[Tensor, " batch"],
    ) -> None:
        """Append the batch's embeddings to the queue."""
        del indices_B
        self.queue.push(embeddings_MBE, labels_B)


def memory_for(
    peers: int, train_labels: Int[Tensor, " samples"], options: BankContrastOptions
) -> BankMemory | QueueMemory:
    """Return the memory for ``options.negatives``: a queue for "queue", otherwise a bank.

    Raises:
        UserError: If an option is out of range or the labels leave no negatives.
    """
    options.check()
    kind = QueueMemory if options.negatives == "queue" else BankMemory
    return kind(peers, train_labels, options)
