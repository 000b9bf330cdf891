"""Scores of anchors and keys, block by block, in reused memory.

Aliasing contract. All blocks of one sub-batch live in one workspace, which a CPU thread keeps between calls:

- ``ScoreBlock.h`` belongs to its block. If the block is cached it keeps its values until it is overwritten in the
  second pass; otherwise the next block overwrites it.
- ``ScoreBlock.scratch`` is the same memory for every block. Its values are lost when the next block is requested.
- The objectives may overwrite both. :meth:`ScoreBlock.times_multiplicity` returns its argument unchanged, not a copy,
  if every key counts once.
- No view of the workspace may outlive the ``with`` statement, or the generator, that lends it.

Axes: A anchor peers that are scored against one bank, B batch or part of it, E embedding width; n the keys of a block.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from peerdistill.contrast.keys import KeyBlock, Keys
from peerdistill.contrast.shard import Shard

CACHED_BYTES = 48 * 2**20
"""Size of the scores that are cached for a second pass: for 192 anchors all scores with a bank of 50,000."""

# Memory that a CPU thread has used before. The C library would request fresh pages for every step, and touching those
# takes longer than computing the scores again. (An accelerator's allocator reuses memory itself.)
_thread_memory = threading.local()


class Anchors:
    """Anchors of some peers that are scored against the bank of another peer.

    Args:
        bank_peer: The peer whose bank holds the keys.
        embeddings_BAE: Unit embeddings of the anchors, divided by tau.
        positives_BE: The positive key of each sample; zeros if another process has it.
        owned_B1: 1 for samples whose positive this process has, otherwise 0. None: it has all.

    Attributes:
        positive_scores_BA: Scores of the positives, those of other processes included once they are known.
        gradient_BAE: The gradient of the loss with respect to ``embeddings_BAE``, accumulated by the objectives.
    """

    def __init__(self, bank_peer: int, embeddings_BAE: Tensor, positives_BE: Tensor, owned_B1: Tensor | None = None):
        self.bank_peer = bank_peer
        self.embeddings_BAE = embeddings_BAE
        self.positives_B1E = positives_BE[:, None]
        self._owned_B1 = owned_B1
        self.positive_scores_BA = (embeddings_BAE * self.positives_B1E).sum(-1)
        self.gradient_BAE = torch.zeros_like(embeddings_BAE)

    def score(self, keys: KeyBlock, h_BAn: Tensor, scratch_BAn: Tensor) -> "ScoreBlock":
        """Write h of all anchors and the keys of a block into ``h_BAn``; h is 0 where masked."""
        embeddings = keys.embeddings(self.bank_peer)
        torch.matmul(self.embeddings_BAE, embeddings.to(h_BAn.dtype).mT, out=h_BAn).exp_()
        if keys.mask is not None:
            h_BAn *= keys.mask()[:, None]
        return ScoreBlock(self, keys, embeddings, h_BAn, scratch_BAn)

    def counted(self, values_BA: Tensor) -> Tensor:
        """Return values of positives, and 0 for the positives of other processes, which count them."""
        return values_BA if self._owned_B1 is None else values_BA * self._owned_B1

    def add_positive_gradient(self, slopes_BA: Tensor) -> None:
        """Add the gradient through the positives' scores, given the derivatives of the loss with respect to them."""
        self.gradient_BAE += slopes_BA[..., None] * self.positives_B1E


class ScoreBlock(NamedTuple):
    """Scores of anchors and one block of keys. See the top of this file for the lifetime of the buffers.

    Attributes:
        anchors: The anchors.
        keys: The keys.
        embeddings: The keys' embeddings, in the precision of the bank.
        h: ``exp(score)`` (B, A, n).
        scratch: A buffer of the same shape.
    """

    anchors: Anchors
    keys: KeyBlock
    embeddings: Tensor
    h: Tensor
    scratch: Tensor

    def times_multiplicity(self, values_BAn: Tensor, out: Tensor) -> Tensor:
        """Return the values times how often each key counts; the values themselves if every key counts once."""
        if self.keys.multiplicity is None:
            return values_BAn
        return torch.mul(values_BAn, self.keys.multiplicity()[:, None], out=out)

    def add_key_gradient(self, slopes_BAn: Tensor) -> None:
        """Add the gradient through the keys' scores, given the derivatives of the loss with respect to them."""
        self.anchors.gradient_BAE += slopes_BAn @ self.embeddings.to(slopes_BAn.dtype)


class ScoreBlocks:
    """Iterates over the score blocks of anchors, and caches as many as fit for a second pass."""

    def __init__(self, anchors: Anchors, key_blocks: Sequence[KeyBlock], workspace: "_Workspace"):
        self.anchors = anchors
        self.key_blocks = key_blocks
        self.workspace = workspace
        self.cached: list[ScoreBlock] = []

    def __iter__(self) -> Iterator[ScoreBlock]:
        for number, keys in enumerate(self.key_blocks):
            if number < len(self.cached):
                yield self.cached[number]
                continue
            shape = (*self.anchors.positive_scores_BA.shape, keys.size)
            block = self.anchors.score(keys, *self.workspace.buffers(number, shape))
            if self.workspace.is_exclusive(number):
                self.cached.append(block)
            yield block


class SubBatch:
    """Some samples of the batch: their anchors for all banks, and their keys.

    Args:
        samples: The samples.
        anchors: Their anchors for each bank.
        keys: Their keys.
        shard: The shard that the keys are from, if several processes hold the bank.
    """

    def __init__(self, samples: slice, anchors: Sequence[Anchors], keys: Keys, shard: Shard | None = None):
        self.samples = samples
        self.anchors = anchors
        self._shard = shard
        self.counts_B1 = keys.counts[:, None]
        self.max_anchor_peers = max(of_bank.embeddings_BAE.shape[1] for of_bank in anchors)
        self.key_blocks = list(keys.blocks(self.max_anchor_peers))

    def totals(self, parts: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return sums over the keys of all processes, given those over the keys of this process."""
        return parts if self._shard is None else self._shard.totals(parts)

    def scores(self, *, passes: int) -> Iterator[tuple[Anchors, ScoreBlocks]]:
        """Yield the anchors of each bank with their score blocks, which must be used before the next are requested.

        Args:
            passes: How many times the score blocks will be iterated over, 1 or 2. With 2, blocks are cached.
        """
        numel = len(self.counts_B1) * self.max_anchor_peers * max((block.size for block in self.key_blocks), default=1)
        slots = CACHED_BYTES // (numel * self.counts_B1.element_size()) if passes > 1 else 1
        slots = min(max(1, slots), len(self.key_blocks))
        with _borrowed_memory((slots + 1, numel), self.counts_B1) as memory:
            for of_bank in self.anchors:
                yield of_bank, ScoreBlocks(of_bank, self.key_blocks, _Workspace(memory, len(self.key_blocks)))


class _Workspace:
    """Memory for score blocks, reused for each bank. The first blocks have a slot each, the others share the last slot.

    Args:
        memory: One slot in each row; the last row is scratch.
        blocks: Number of blocks.
    """

    def __init__(self, memory: Tensor, blocks: int):
        self.memory = memory
        self.slots = len(memory) - 1
        self.blocks = blocks

    def buffers(self, block: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return memory for a block's h, and scratch."""
        slot = min(block, self.slots - 1)
        numel = math.prod(shape)
        return self.memory[slot, :numel].view(shape), self.memory[-1, :numel].view(shape)

    def is_exclusive(self, block: int) -> bool:
        """Tell whether no other block uses this block's slot."""
        return self.slots == self.blocks or block < self.slots - 1


@contextmanager
def _borrowed_memory(shape: tuple[int, int], like: Tensor) -> Iterator[Tensor]:
    """Lend memory of a shape, with the dtype and device of ``like``. On a CPU the thread keeps it for the next call."""
    bytes_needed = math.prod(shape) * like.element_size()
    # Removed while it is lent, so that a nested call can't get the same memory.
    memory = _thread_memory.__dict__.pop("memory", None) if like.device.type == "cpu" else None
    if memory is None or len(memory) < bytes_needed:
        memory = torch.empty(bytes_needed, dtype=torch.uint8, device=like.device)
    try:
        yield memory[:bytes_needed].view(like.dtype).view(shape)
    finally:
        if like.device.type == "cpu":
            _thread_memory.memory = memory
