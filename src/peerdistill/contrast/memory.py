"""A memory bank or a queue of past embeddings, and the negatives drawn from it.

Axes: M peers, B batch, N samples, E embedding width.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from peerdistill.contrast.bank import MemoryBank
from peerdistill.contrast.nce import multi_view_nce, queue_nce
from peerdistill.contrast.options import SHARDED_ABOVE, BankContrastOptions
from peerdistill.contrast.queue import EmbeddingQueue
from peerdistill.contrast.samplers import AllSampler, NegativeSampler, SharedSampler, count_labels
from peerdistill.contrast.shard import DealtRows, Shard, Total
from peerdistill.errors import PeerdistillWarning, UserError
from peerdistill.shares import WHOLE, Share

_SAMPLERS = {"own": NegativeSampler, "shared": SharedSampler, "all": AllSampler}

_SHARE = ContextVar("_SHARE", default=WHOLE)


@contextmanager
def memory_of(share: Share) -> Iterator[None]:
    """Build memories as one of several processes that train together: ``options.shard`` says which it holds in part.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import ContrastOptions, memory_for, memory_of
        >>> from peerdistill.shares import Share
        >>> labels = torch.arange(100) % 10
        >>> with memory_of(Share(number=0, processes=4)):
        ...     memory = memory_for(2, labels, ContrastOptions(count=32, width=8, shard="always"))
        >>> memory.bank.rows.shape  # (peers, a quarter of the samples, width)
        torch.Size([2, 25, 8])
    """
    token = _SHARE.set(share)
    try:
        yield
    finally:
        _SHARE.reset(token)


class BankMemory(nn.Module):
    """A memory bank of all training samples, and a sampler of negatives: "own", "shared" or "all".

    Each of several processes holds the whole bank, or a shard of it, see :class:`peerdistill.contrast.DealtRows`. With
    shards, "own" negatives are stratified: each of W processes draws S / W of them for every anchor from its own rows.

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
        dtype = getattr(torch, options.bank_dtype)
        share = _share_of(options, peers * len(train_labels) * options.width * dtype.itemsize)
        dealt = None if share.processes == 1 else DealtRows(train_labels, share)
        labels, count = train_labels, options.count
        if options.negatives == "own" and dealt is not None:
            labels, count = train_labels[dealt.samples], stratified(train_labels, options.count, share)
        self.sampler = _SAMPLERS[options.negatives](labels, count, options.replacement)
        self.bank = MemoryBank(peers, len(train_labels), options.width, options.momentum, dtype, dealt)
        self.register_buffer("train_labels", train_labels, persistent=False)

    @property
    def is_sharded(self) -> bool:
        """Whether this process holds a part of the bank."""
        return self.bank.dealt is not None

    def lookup(
        self, labels_B: Int[Tensor, " batch"], indices_B: Int[Tensor, " batch"], total: Total | None = None
    ) -> dict[str, Any]:
        """Draw negatives, and return the arguments of ``nce`` other than the embeddings.

        Args:
            labels_B: Labels of the batch.
            indices_B: Indices of its samples.
            total: Returns the sum of a tensor over all processes. Needed for a shard of a bank.
        """
        found = {
            "banks": self.bank.rows,
            "indices": indices_B,
            "negatives": self._draw(labels_B),
            "labels": self.train_labels,
        }
        if self.bank.dealt is None:
            return found
        assert total is not None, "the other processes hold the other shards"
        return {**found, "shard": Shard(self.bank.dealt, total)}

    def _draw(self, labels_B: Tensor) -> Tensor | Literal["all"]:
        """Return negatives; those that differ between processes are drawn from a generator of this process."""
        if self.bank.dealt is None or not isinstance(self.sampler, NegativeSampler):
            return self.sampler(labels_B)
        generator = torch.Generator(labels_B.device)
        generator.manual_seed(int(torch.randint(2**62, ())) + self.bank.dealt.share.number)
        return self.sampler(labels_B, generator)

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

    Each of several processes holds the whole queue.

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

    is_sharded = False

    def lookup(
        self, labels_B: Int[Tensor, " batch"], indices_B: Int[Tensor, " batch"], total: Total | None = None
    ) -> dict[str, Any]:
        """Return the arguments of ``nce`` other than the embeddings."""
        del indices_B, total
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


def stratified(train_labels: Int[Tensor, " samples"], count: int, share: Share) -> int:
    """Return how many of ``count`` negatives per anchor this process draws, from the samples that are dealt to it.

    Each process draws as many as the others, up to one. It draws fewer if its shard has fewer samples of other labels
    for some anchors; a warning tells how many all processes draw together.

    Raises:
        UserError: There are fewer negatives than processes, or the shard of a process has samples of one label only.
    """
    count_labels(train_labels)
    shares = [Share(number, share.processes) for number in range(share.processes)]
    if count < len(shares):
        raise UserError(
            f"contrast.count must be at least {len(shares)}, the number of devices that hold shards of the memory bank,"
            f" found {count}"
        )
    by_label = train_labels.sort().values
    others = [_fewest_others(by_label[each.dealt]) for each in shares]
    if min(others) < 1:
        raise UserError(
            f"the memory bank is too small for {len(shares)} shards, of which one would have images of one class only: "
            "set contrast.shard never"
        )
    drawn = [min(few, len(range(count)[each.of(count)])) for few, each in zip(others, shares, strict=True)]
    if sum(drawn) < count:
        warnings.warn(
            f"drawing {sum(drawn)} negatives per anchor instead of {count}: "
            "for some anchors, the shards of the memory bank have no more samples of other labels",
            category=PeerdistillWarning,
            stacklevel=2,
        )
    return drawn[share.number]


def _fewest_others(labels: Int[Tensor, " samples"]) -> int:
    """Return the smallest number of samples of other labels that any label has."""
    return len(labels) - int(torch.bincount(labels).max()) if len(labels) else 0


def _share_of(options: BankContrastOptions, size: int) -> Share:
    """Return the share of the rows that this process holds of banks of ``size`` bytes."""
    is_divided = options.shard == "always" or (options.shard == "auto" and size > SHARDED_ABOVE)
    return _SHARE.get() if is_divided else WHOLE
