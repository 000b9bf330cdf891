"""What anchors are scored against: the columns of a matrix of scores that never exists as a whole.

Axes: M peers, B batch, N samples, S negatives drawn, L length of a queue, E embedding width; b and n the samples and
columns of one tile.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from peerdistill.errors import UserError, unknown_name

# Scores of one tile, for each thread: all that is done to them then happens within a core's own cache.
_CACHE_BYTES = 2**20
# An accelerator has no such cache and pays for every launch.
_ACCELERATOR_BYTES = 2**27
# A product with fewer columns than this would spend its time on adding up gradients.
_FEWEST_COLUMNS = 256
# Gathered rows are read twice only, so they may take more room than scores.
_GATHER_TILES = 4
# To gather a row for one sample costs as much as to score this many for all (benchmarks/contrast.py measures it).
_GATHER_COST = 8


class Tile(NamedTuple):
    """All samples of the batch, or of a part of it, against some columns.

    Attributes:
        width: Number of columns n.
        rows: From a bank's peer to the columns' embeddings: (n, E) where all samples have the same columns, else
            (b, n, E).
        mask: Returns 0 for each column that a sample must not see and 1 for all others (b, n).
        times: Returns how often each sample counts each column (b, n).
    """

    width: int
    rows: Callable[[int], Tensor]
    mask: Callable[[], Tensor] | None = None
    times: Callable[[], Tensor] | None = None


class Columns(ABC):
    """The negatives of a batch, for whichever bank they are looked up in.

    Attributes:
        total: Number of columns.
        counts: Number of negatives S of each sample, in the precision of the scores.
    """

    total: int
    counts: Float[Tensor, " batch"]

    def parts(self) -> Iterator[tuple[slice, "Columns"]]:
        """Yield the batch in parts that are best worked off one after the other: samples, and their columns."""
        yield slice(None), self

    @abstractmethod
    def tiles(self, anchor_peers: int) -> Iterator[Tile]:
        """Yield all columns, in tiles that suit ``anchor_peers`` anchors of each sample."""


class CommonColumns(Columns):
    """The same columns for all samples: one product scores all anchors.

    Args:
        total: Number of columns.
        counts: Number of negatives of each sample.
        rows: From a range of the columns and a bank's peer to their embeddings.
        mask: From a range of the columns to a tile's mask.
        times: From a range of the columns to a tile's times.
    """

    def __init__(
        self,
        total: int,
        counts: Float[Tensor, " batch"],
        rows: Callable[[slice, int], Tensor],
        *,
        mask: Callable[[slice], Tensor] | None = None,
        times: Callable[[slice], Tensor] | None = None,
    ):
        self.total = total
        self.counts = counts
        self.rows = rows
        self.mask = mask
        self.times = times

    def tiles(self, anchor_peers: int) -> Iterator[Tile]:
        """Yield ranges of the columns."""
        for part in _ranges(self.total, _tile_width(anchor_peers * len(self.counts), self.counts)):
            yield Tile(
                part.stop - part.start,
                partial(self.rows, part),
                self.mask and partial(self.mask, part),
                self.times and partial(self.times, part),
            )


class GatheredColumns(Columns):
    """Columns of each sample's own, gathered once for all its anchors: cheap where they are few.

    Args:
        banks: The banks.
        columns_BS: Rows of the banks for each sample.
        counts: Number of negatives of each sample.
    """

    def __init__(self, banks: Tensor, columns_BS: Int[Tensor, "batch negatives"], counts: Float[Tensor, " batch"]):
        self.banks = banks
        self.columns_BS = columns_BS
        self.total = columns_BS.shape[1]
        self.counts = counts

    def parts(self) -> Iterator[tuple[slice, Columns]]:
        """Yield as many samples as fit into a tile with all their rows."""
        for samples in _ranges(len(self.columns_BS), max(1, self._rows_per_tile() // self.total)):
            yield samples, GatheredColumns(self.banks, self.columns_BS[samples], self.counts[samples])

    def tiles(self, anchor_peers: int) -> Iterator[Tile]:
        """Yield ranges of the columns; ``anchor_peers`` do not matter: a row takes more room than its scores."""
        del anchor_peers
        for part in _ranges(self.total, max(1, self._rows_per_tile() // len(self.columns_BS))):
            yield Tile(part.stop - part.start, partial(_gather, self.banks, self.columns_BS[:, part]))

    def _rows_per_tile(self) -> int:
        return _GATHER_TILES * _tile_floats(self.counts) // self.banks.shape[2]


def bank_columns(
    banks: Float[Tensor, "peers samples width"],
    indices: Int[Tensor, " batch"],
    negatives: Int[Tensor, "batch negatives"] | Int[Tensor, " negatives"] | Literal["all"],
    labels: Int[Tensor, " samples"] | None,
    precision: torch.dtype,
) -> Columns:
    """Return the negatives that ``negatives`` stands for, as :func:`peerdistill.contrast.multi_view_nce` explains it.

    Raises:
        UserError: Where there are none, or "all" comes without labels.
    """
    if isinstance(negatives, str):
        if negatives != "all":
            raise unknown_name("negatives", negatives, ("all",))
        if labels is None:
            raise UserError("to contrast with all samples of other labels, the contrast needs the training labels")
        return _columns_of_other_labels(partial(_rows, banks), labels, labels[indices], precision)
    if negatives.shape[-1] < 1:
        raise UserError("the contrast needs at least 1 negative for each anchor, found none")
    if negatives.ndim == 2:
        return _own_columns(banks, negatives, precision)

    def rows(part: slice, peer: int) -> Tensor:
        return _gather(banks, negatives[part], peer)

    if labels is None:
        return CommonColumns(len(negatives), _full(len(indices), len(negatives), banks, precision), rows)
    return _columns_of_other_labels(rows, labels[negatives], labels[indices], precision)


def queue_columns(
    queue: Float[Tensor, "peers length width"],
    queue_labels: Int[Tensor, " length"],
    labels: Int[Tensor, " batch"],
    precision: torch.dtype,
) -> Columns:
    """Return the queue's entries of other labels than the anchor's; a negative label marks an empty entry."""
    filled_L = (queue_labels >= 0).to(precision)
    return _columns_of_other_labels(partial(_rows, queue), queue_labels, labels, precision, filled_L)


def _columns_of_other_labels(
    rows: Callable[[slice, int], Tensor],
    labels_n: Tensor,
    anchor_labels_B: Tensor,
    precision: torch.dtype,
    there_n: Tensor | None = None,
) -> Columns:
    """Return the columns that are there, without those of the anchor's label; the mask is made tile by tile."""
    # Narrow labels, and no mask of bools between: seven times as fast.
    labels_n, anchor_labels_B1 = labels_n.int(), anchor_labels_B.int()[:, None]

    def mask(part: slice) -> Tensor:
        differ_Bn = torch.empty(len(anchor_labels_B), part.stop - part.start, dtype=precision, device=labels_n.device)
        torch.ne(anchor_labels_B1, labels_n[part], out=differ_Bn)
        return differ_Bn if there_n is None else differ_Bn.mul_(there_n[part])

    counts_B = torch.zeros(len(anchor_labels_B), dtype=precision, device=labels_n.device)
    for part in _ranges(len(labels_n), _tile_width(len(counts_B), counts_B)):
        counts_B += mask(part).sum(1)
    return CommonColumns(len(labels_n), counts_B, rows, mask=mask)


def _own_columns(banks: Tensor, negatives_BS: Tensor, precision: torch.dtype) -> Columns:
    """Return them gathered, or counted: with many, the whole bank is the cheaper product, and repeats cost nothing."""
    batch, drawn = negatives_BS.shape
    samples = banks.shape[1]
    counts_B = _full(batch, drawn, banks, precision)
    if drawn * _GATHER_COST < samples:
        return GatheredColumns(banks, negatives_BS, counts_B)
    times_BN = counts_B.new_zeros(batch, samples)
    times_BN.scatter_add_(1, negatives_BS, times_BN.new_ones(()).expand_as(negatives_BS))
    return CommonColumns(samples, counts_B, partial(_rows, banks), times=lambda part: times_BN[:, part])


def _full(batch: int, drawn: int, banks: Tensor, precision: torch.dtype) -> Tensor:
    return torch.full((batch,), drawn, dtype=precision, device=banks.device)


def _rows(banks: Tensor, part: slice, peer: int) -> Tensor:
    return banks[peer, part]


def _gather(banks: Tensor, columns: Tensor, peer: int) -> Tensor:
    # Three times as fast as to index with the columns.
    return banks[peer].index_select(0, columns.flatten()).view(*columns.shape, -1)


def _ranges(length: int, step: int) -> Iterator[slice]:
    for start in range(0, length, step):
        yield slice(start, min(start + step, length))


def _tile_width(anchors: int, like: Tensor) -> int:
    """Return how many columns a tile of that many anchors may have."""
    return max(_FEWEST_COLUMNS, _tile_floats(like) // anchors)


def _tile_floats(like: Tensor) -> int:
    """Return how many numbers like those of ``like`` a tile may hold."""
    on_cpu = like.device.type == "cpu"
    budget = _CACHE_BYTES * torch.get_num_threads() if on_cpu else _ACCELERATOR_BYTES
    return max(1, budget // like.element_size())
