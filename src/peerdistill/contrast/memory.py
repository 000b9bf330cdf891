"""What the peers said of samples before, and the negatives out of it: a bank of all, or a queue of the latest.

Axes: M peers, B batch, N samples, E embedding width.
"""

import warnings
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.contrast.bank import MemoryBank
from peerdistill.contrast.nce import multi_view_nce, queue_nce
from peerdistill.contrast.negatives import EverySample, NegativeSampler, SharedSampler, label_sizes
from peerdistill.contrast.options import RememberedOptions
from peerdistill.contrast.queue import EmbeddingQueue
from peerdistill.errors import PeerdistillWarning

_SAMPLERS = {"own": NegativeSampler, "shared": SharedSampler, "all": EverySample}


class BankMemory(nn.Module):
    """A row of every training sample, and negatives drawn among them: "own", "shared" or "all".

    Args:
        peers: Number of peers M.
        train_labels: Label of every training sample.
        options: The contrast's options.

    Raises:
        UserError: Where the labels leave no negatives.
    """

    nce = staticmethod(multi_view_nce)
    train_labels: Int[Tensor, " samples"]

    def __init__(self, peers: int, train_labels: Int[Tensor, " samples"], options: RememberedOptions):
        super().__init__()
        self.negatives = _SAMPLERS[options.negatives](train_labels, options.count, options.replacement)
        dtype = getattr(torch, options.bank_dtype)
        self.bank = MemoryBank(peers, len(train_labels), options.width, options.momentum, dtype)
        self.register_buffer("train_labels", train_labels, persistent=False)

    def look_up(self, labels_B: Int[Tensor, " batch"], indices_B: Int[Tensor, " batch"]) -> dict[str, Any]:
        """Return what ``nce`` needs for a batch beside its embeddings; draws negatives."""
        return {
            "banks": self.bank.rows,
            "indices": indices_B,
            "negatives": self.negatives(labels_B),
            "labels": self.train_labels,
        }

    def remember(
        self,
        embeddings_MBE: Float[Tensor, "peers batch width"],
        labels_B: Int[Tensor, " batch"],
        indices_B: Int[Tensor, " batch"],
    ) -> None:
        """Take in what the peers say of a batch now."""
        del labels_B
        self.bank.update(embeddings_MBE, indices_B)


class QueueMemory(nn.Module):
    """What the peers said of the latest samples, all of which are negatives but those of the anchor's label.

    Args:
        peers: Number of peers M.
        train_labels: Label of every training sample. A queue is no longer than there are samples; a warning says so.
        options: The contrast's options.

    Raises:
        UserError: Where the labels leave no negatives.
    """

    nce = staticmethod(queue_nce)

    def __init__(self, peers: int, train_labels: Int[Tensor, " samples"], options: RememberedOptions):
        super().__init__()
        label_sizes(train_labels)
        samples = len(train_labels)
        if options.count > samples:
            warnings.warn(
                f"a queue of {options.count} was asked for, {samples} training samples exist: it holds {samples}",
                category=PeerdistillWarning,
                stacklevel=2,
            )
        dtype = getattr(torch, options.bank_dtype)
        self.queue = EmbeddingQueue(peers, min(options.count, samples), options.width, dtype)

    def look_up(self, labels_B: Int[Tensor, " batch"], indices_B: Int[Tensor, " batch"]) -> dict[str, Any]:
        """Return what ``nce`` needs for a batch beside its embeddings."""
        del indices_B
        return {"queue": self.queue.rows, "queue_labels": self.queue.labels, "labels": labels_B}

    def remember(
        self,
        embeddings_MBE: Float[Tensor, "peers batch width"],
        labels_B: Int[Tensor, " batch"],
        indices_B: Int[Tensor, " batch"],
    ) -> None:
        """Take in what the peers say of a batch now."""
        del indices_B
        self.queue.push(embeddings_MBE, labels_B)


def memory_for(
    peers: int, train_labels: Int[Tensor, " samples"], options: RememberedOptions
) -> BankMemory | QueueMemory:
    """Return the memory for the kind of negatives that ``options`` name.

    Raises:
        UserError: Where the options are out of range or the labels leave no negatives.
    """
    options.check()
    kind = QueueMemory if options.negatives == "queue" else BankMemory
    return kind(peers, train_labels, options)
