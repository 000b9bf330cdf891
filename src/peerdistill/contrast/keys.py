"""The negative keys of a batch, in blocks: the full matrix of scores of anchors and keys is never stored.

Axes: M peers, B batch, N samples, S negatives drawn, L queue length, E embedding width; b and n are the samples and the
keys of one block.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from peerdistill.contrast.shard import Shard
from peerdistill.errors import UserError, unknown_name

CPU_BLOCK_BYTES = 2**20
"""Size of a block of scores per CPU thread. All work on a block then stays in the cache of one core."""

ACCELERATOR_BLOCK_BYTES = 2**27
"""Size of a block elsewhere: large, because there is no such cache and every kernel launch has a fixed cost."""

MIN_BLOCK_KEYS = 256
"""With fewer keys per block, adding up gradients would dominate the time of a matrix product."""

GATHER_BLOCKS = 4
"""Memory of gathered embeddings in blocks. It may be more than that of scores, because they are read only twice."""

GATHER_COST = 8
"""Gathering one key for one sample costs as much as scoring this many keys for all (benchmarks/contrast.py)."""


class KeyBlock(NamedTuple):
    """Some keys of all samples of a (sub-)batch.

    Attributes:
        size: Number of keys n.
        embeddings: Maps a bank's peer to the keys' embeddings: (n, E) if all samples have the same keys, otherwise
            (b, n, E).
        mask: Returns (b, n): 0 for a key that is not a negative of the sample, otherwise 1.
        multiplicity: Returns (b, n): how many times each key counts for each sample.
    """

    size: int
    embeddings: Callable[[int], Tensor]
    mask: Callable[[], Tensor] | None = None
    multiplicity: Callable[[], Tensor] | None = None


class Keys(ABC):
    """The negative keys of a batch. They can be looked up in the bank of any peer.

    Attributes:
        total: Number of keys that are scored.
        counts: Number of negatives S of each sample, in the precision of the scores.
    """

    total: int
    counts: Float[Tensor, " batch"]

    def sub_batches(self) -> Iterator[tuple[slice, "Keys"]]:
        """Yield slices of the batch that are best processed one after the other, each with its keys."""
        yield slice(None), self

    @abstractmethod
    def blocks(self, anchor_peers: int) -> Iterator[KeyBlock]:
        """Yield all keys in blocks whose size suits ``anchor_peers`` anchors per sample."""


class CommonKeys(Keys):
    """The same keys for all samples, so one matrix product scores all anchors.

    Args:
        total: Number of keys.
        counts: Number of negatives of each sample.
        embeddings: Maps a range of keys and a bank's peer to embeddings.
        mask: Maps a range of keys to a block's mask.
        multiplicity: Maps a range of keys to a block's multiplicity.
    """

    def __init__(
        self,
        total: int,
        counts: Float[Tensor, " batch"],
        embeddings: Callable[[slice, int], Tensor],
        *,
        mask: Callable[[slice], Tensor] | None = None,
        multiplicity: Callable[[slice], Tensor] | None = None,
    ):
        self.total = total
        self.counts = counts
        self.embeddings = embeddings
        self.mask = mask
        self.multiplicity = multiplicity

    def blocks(self, anchor_peers: int) -> Iterator[KeyBlock]:
        """Yield ranges of keys."""
        for chosen in _ranges(self.total, _block_size(anchor_peers * len(self.counts), self.counts)):
            yield KeyBlock(
                chosen.stop - chosen.start,
                partial(self.embeddings, chosen),
                self.mask and partial(self.mask, chosen),
                self.multiplicity and partial(self.multiplicity, chosen),
            )


class GatheredKeys(Keys):
    """Different keys for each sample, gathered once for all its anchors. This is cheap if there are few keys.

    Args:
        banks: The banks (M, N, E).
        rows_BS: Rows of the banks for each sample.
        counts: Number of negatives of each sample.
    """

    def __init__(self, banks: Tensor, rows_BS: Int[Tensor, "batch negatives"], counts: Float[Tensor, " batch"]):
        self.banks = banks
        self.rows_BS = rows_BS
        self.total = rows_BS.shape[1]
        self.counts = counts

    def sub_batches(self) -> Iterator[tuple[slice, Keys]]:
        """Yield as many samples as fit into one block with all their keys."""
        for samples in _ranges(len(self.rows_BS), max(1, self._keys_per_block() // self.total)):
            yield samples, GatheredKeys(self.banks, self.rows_BS[samples], self.counts[samples])

    def blocks(self, anchor_peers: int) -> Iterator[KeyBlock]:
        """Yield ranges of keys. ``anchor_peers`` is not used: an embedding takes more memory than its scores."""
        del anchor_peers
        for chosen in _ranges(self.total, max(1, self._keys_per_block() // len(self.rows_BS))):
            yield KeyBlock(chosen.stop - chosen.start, partial(_gather, self.banks, self.rows_BS[:, chosen]))

    def _keys_per_block(self) -> int:
        return GATHER_BLOCKS * _block_numel(self.counts) // self.banks.shape[2]


def bank_keys(
    banks: Float[Tensor, "peers rows width"],
    indices: Int[Tensor, " batch"],
    negatives: Int[Tensor, "batch negatives"] | Int[Tensor, " negatives"] | Literal["all"],
    labels: Int[Tensor, " samples"] | None,
    precision: torch.dtype,
    shard: Shard | None = None,
) -> Keys:
    """Return the keys for ``negatives``, whose forms :func:`peerdistill.contrast.multi_view_nce` documents.

    With a shard, these are the keys among its rows. The counts are those of all processes.

    Raises:
        UserError: If there are no negatives, or for "all" without labels.
    """
    _check(negatives, labels)
    if isinstance(negatives, str):
        assert labels is not None
        labels_n = labels if shard is None else labels[shard.rows.samples]
        keys = _keys_of_other_labels(partial(_slice, banks), labels_n, labels[indices], precision)
    elif negatives.ndim == 2:
        keys = _keys_per_anchor(banks, negatives, precision)
    else:
        keys = _keys_of_batch(banks, indices, negatives, labels, precision, shard)
    if shard is not None:
        keys.counts = shard.total(keys.counts)
    return keys


def _check(negatives: Tensor | str, labels: Tensor | None) -> None:
    """Raise UserError if there are no negatives, or for "all" without labels."""
    if isinstance(negatives, Tensor):
        if negatives.shape[-1] < 1:
            raise UserError("the contrast needs at least 1 negative per anchor, found 0")
        return
    if negatives != "all":
        raise unknown_name("negatives", negatives, ("all",))
    if labels is None:
        raise UserError('negatives "all" needs the training labels: pass labels')


def _keys_of_batch(
    banks: Tensor,
    indices: Tensor,
    negatives_S: Tensor,
    labels: Tensor | None,
    precision: torch.dtype,
    shard: Shard | None,
) -> Keys:
    """Return the same negatives for all samples, without those of the anchor's label if labels are known."""
    rows_S = negatives_S
    if shard is not None:  # the host waits for the device to know how many there are
        negatives_S = negatives_S[shard.rows.owns(negatives_S)]
        rows_S = shard.rows.rows_of(negatives_S)

    def embeddings(chosen: slice, peer: int) -> Tensor:
        return _gather(banks, rows_S[chosen], peer)

    if labels is None:
        return CommonKeys(len(rows_S), _constant(len(indices), len(rows_S), banks, precision), embeddings)
    return _keys_of_other_labels(embeddings, labels[negatives_S], labels[indices], precision)


def queue_keys(
    queue: Float[Tensor, "peers length width"],
    queue_labels: Int[Tensor, " length"],
    labels: Int[Tensor, " batch"],
    precision: torch.dtype,
) -> Keys:
    """Return the queue's entries whose label differs from the anchor's. A negative label marks an empty entry."""
    filled_L = (queue_labels >= 0).to(precision)
    return _keys_of_other_labels(partial(_slice, queue), queue_labels, labels, precision, filled_L)


def _keys_of_other_labels(
    embeddings: Callable[[slice, int], Tensor],
    labels_n: Tensor,
    anchor_labels_B: Tensor,
    precision: torch.dtype,
    filled_n: Tensor | None = None,
) -> Keys:
    """Return the filled keys without those of the anchor's label. The mask is computed block by block."""
    # int32 labels and no intermediate bool mask are seven times as fast.
    labels_n, anchor_labels_B1 = labels_n.int(), anchor_labels_B.int()[:, None]

    def mask(chosen: slice) -> Tensor:
        size = chosen.stop - chosen.start
        differ_Bn = torch.empty(len(anchor_labels_B), size, dtype=precision, device=labels_n.device)
        torch.ne(anchor_labels_B1, labels_n[chosen], out=differ_Bn)
        return differ_Bn if filled_n is None else differ_Bn.mul_(filled_n[chosen])

    counts_B = torch.zeros(len(anchor_labels_B), dtype=precision, device=labels_n.device)
    for chosen in _ranges(len(labels_n), _block_size(len(counts_B), counts_B)):
        counts_B += mask(chosen).sum(1)
    return CommonKeys(len(labels_n), counts_B, embeddings, mask=mask)


def _keys_per_anchor(banks: Tensor, negatives_BS: Tensor, precision: torch.dtype) -> Keys:
    """Return negatives drawn per anchor: gathered if few, otherwise the whole bank with multiplicities.

    With many negatives a product with the whole bank is cheaper than gathering, and repeated draws cost nothing.
    """
    batch, drawn = negatives_BS.shape
    samples = banks.shape[1]
    counts_B = _constant(batch, drawn, banks, precision)
    if drawn * GATHER_COST < samples:
        return GatheredKeys(banks, negatives_BS, counts_B)
    multiplicity_BN = counts_B.new_zeros(batch, samples)
    multiplicity_BN.scatter_add_(1, negatives_BS, multiplicity_BN.new_ones(()).expand_as(negatives_BS))
    return CommonKeys(samples, counts_B, partial(_slice, banks), multiplicity=lambda chosen: multiplicity_BN[:, chosen])


def _constant(batch: int, drawn: int, banks: Tensor, precision: torch.dtype) -> Tensor:
    return torch.full((batch,), drawn, dtype=precision, device=banks.device)


def _slice(banks: Tensor, chosen: slice, peer: int) -> Tensor:
    return banks[peer, chosen]


def _gather(banks: Tensor, rows: Tensor, peer: int) -> Tensor:
    # Three times as fast as indexing with a tensor.
    return banks[peer].index_select(0, rows.flatten()).view(*rows.shape, -1)


def _ranges(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def _block_size(anchors: int, like: Tensor) -> int:
    """Return the number of keys per block for this many anchors."""
    return max(MIN_BLOCK_KEYS, _block_numel(like) // anchors)


def _block_numel(like: Tensor) -> int:
    """Return the number of elements of ``like``'s dtype per block on its device."""
    if like.is_meta:  # without data a block takes no memory, and with a single block nothing is computed twice
        return sys.maxsize
    on_cpu = like.device.type == "cpu"
    budget = CPU_BLOCK_BYTES * torch.get_num_threads() if on_cpu else ACCELERATOR_BLOCK_BYTES
    return max(1, budget // like.element_size())
