"""Scores of anchors against chosen rows of a bank, and the way back: two routes to the same numbers.

Axes: A anchor peers, B batch, K columns scored for each sample, E embedding width, N samples; b a block of the batch.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Working memory of one block. Below the size from which the C library asks the system for fresh pages at every
# allocation: touching those costs several times the product itself.
_BLOCK_BYTES = 16 * 2**20
# Gathering one row of a bank costs as much as this many rows in a product (benchmarks/contrast.py measures it).
_GATHER_COST = 20


class Scorer(ABC):
    """Scores the rows ``columns_BK`` of a bank, different ones for each sample of the batch."""

    def __init__(self, columns_BK: Int[Tensor, "batch columns"], samples_per_block: int):
        self.columns_BK = columns_BK
        self.samples_per_block = max(1, samples_per_block)

    def _blocks(self) -> Iterator[tuple[slice, Int[Tensor, "block columns"]]]:
        for start in range(0, len(self.columns_BK), self.samples_per_block):
            block = slice(start, start + self.samples_per_block)
            yield block, self.columns_BK[block]

    def scores(
        self, anchors_ABE: Float[Tensor, "anchors batch width"], bank_NE: Float[Tensor, "samples width"]
    ) -> Float[Tensor, "anchors batch columns"]:
        """Return the dot products of every anchor with its rows."""
        scores_ABK = anchors_ABE.new_empty(*anchors_ABE.shape[:2], self.columns_BK.shape[1])
        for block, columns_bK in self._blocks():
            self._score_block(anchors_ABE[:, block], bank_NE, columns_bK, out=scores_ABK[:, block])
        return scores_ABK

    def pull_back(
        self, slopes_ABK: Float[Tensor, "anchors batch columns"], bank_NE: Float[Tensor, "samples width"]
    ) -> Float[Tensor, "anchors batch width"]:
        """Return the gradient with respect to the anchors, given that with respect to their scores."""
        gradient_ABE = slopes_ABK.new_empty(*slopes_ABK.shape[:2], bank_NE.shape[1])
        for block, columns_bK in self._blocks():
            gradient_ABE[:, block] = self._pull_block_back(slopes_ABK[:, block], bank_NE, columns_bK)
        return gradient_ABE

    @abstractmethod
    def _score_block(self, anchors_AbE, bank_NE, columns_bK, *, out) -> None: ...

    @abstractmethod
    def _pull_block_back(self, slopes_AbK, bank_NE, columns_bK) -> Tensor: ...


class ProductScorer(Scorer):
    """One product of all anchors with the whole bank, of which the asked-for scores are picked."""

    def _score_block(self, anchors_AbE, bank_NE, columns_bK, *, out):
        all_AbN = anchors_AbE @ bank_NE.T
        torch.gather(all_AbN, 2, columns_bK.expand(len(anchors_AbE), -1, -1), out=out)

    def _pull_block_back(self, slopes_AbK, bank_NE, columns_bK):
        all_AbN = slopes_AbK.new_zeros(*slopes_AbK.shape[:2], len(bank_NE))
        all_AbN.scatter_add_(2, columns_bK.expand(len(slopes_AbK), -1, -1), slopes_AbK)
        return all_AbN @ bank_NE


class GatherScorer(Scorer):
    """Only the asked-for rows are read, once for all anchor peers: cheaper when they are few."""

    def _score_block(self, anchors_AbE, bank_NE, columns_bK, *, out):
        out.copy_(torch.einsum("abe,bke->abk", anchors_AbE, bank_NE[columns_bK]))

    def _pull_block_back(self, slopes_AbK, bank_NE, columns_bK):
        return torch.einsum("abk,bke->abe", slopes_AbK, bank_NE[columns_bK])


def cheapest_scorer(
    anchor_peers: int,
    banks_MNE: Float[Tensor, "peers samples width"],
    columns_BK: Int[Tensor, "batch columns"],
) -> Scorer:
    """Return the scorer whose route reads and writes least for these sizes."""
    samples, width = banks_MNE.shape[1:]
    columns = columns_BK.shape[1]
    floats = _BLOCK_BYTES // max(4, banks_MNE.element_size())  # scores are at least float32
    if columns * _GATHER_COST < samples:
        return GatherScorer(columns_BK, floats // (columns * width))
    return ProductScorer(columns_BK, floats // (samples * anchor_peers))
