"""The scores of anchors against columns, tile by tile.

Axes: A anchor peers that look into one bank, B batch or a part of it, E embedding width; n the columns of one tile.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

from peerdistill.contrast.columns import Columns, Tile

# Scores that are kept for a second pass: of 192 anchors all those of the paper's bank of 50,000.
_KEPT_BYTES = 48 * 2**20
# What a thread has used once. The C library would ask the system for fresh pages every time, and to touch those takes
# longer than to compute the scores again. (An accelerator's allocator does the like itself.)
_spare = threading.local()


class Look:
    """The anchors of some peers that look into the bank of another one.

    Args:
        bank_peer: Whose bank.
        anchors_BAE: Unit embeddings over tau.
        positives_BE: Row of the bank that each sample's anchors should point to.
    """

    def __init__(self, bank_peer: int, anchors_BAE: Tensor, positives_BE: Tensor):
        self.bank_peer = bank_peer
        self.anchors_BAE = anchors_BAE
        self.positives_B1E = positives_BE[:, None]
        self.scores_BA = (anchors_BAE * self.positives_B1E).sum(-1)
        self.gradient_BAE = torch.zeros_like(anchors_BAE)

    def score(self, tile: Tile, h_BAn: Tensor, free_BAn: Tensor) -> "Scored":
        """Return h of all anchors and a tile's columns, 0 where masked, in the place that is given for it."""
        rows = tile.rows(self.bank_peer)
        torch.matmul(self.anchors_BAE, rows.to(h_BAn.dtype).mT, out=h_BAn).exp_()
        if tile.mask is not None:
            h_BAn *= tile.mask()[:, None]
        return Scored(self, tile, rows, h_BAn, free_BAn)

    def pull_to_positives(self, slopes_BA: Tensor) -> None:
        """Add the gradient that comes through the positives' scores."""
        self.gradient_BAE += slopes_BA[..., None] * self.positives_B1E


class Scored(NamedTuple):
    """What a look finds in a tile: rows as the bank has them, h (B, A, n), and as much room that is free."""

    look: Look
    tile: Tile
    rows: Tensor
    h: Tensor
    free: Tensor

    def times(self, values_BAn: Tensor, out: Tensor) -> Tensor:
        """Return the values, each as often as its sample counts its column."""
        return values_BAn if self.tile.times is None else torch.mul(values_BAn, self.tile.times()[:, None], out=out)

    def pull_back(self, slopes_BAn: Tensor) -> None:
        """Add the gradient that comes through the columns' scores."""
        self.look.gradient_BAE += slopes_BAn @ self.rows.to(slopes_BAn.dtype)


class Scores:
    """A look's scores of all tiles. They may be gone through twice: as many as there is room for are kept till then."""

    def __init__(self, look: Look, tiles: Sequence[Tile], room: "_Room"):
        self.look = look
        self.tiles = tiles
        self.room = room
        self.kept: list[Scored] = []

    def __iter__(self) -> Iterator[Scored]:
        for number, tile in enumerate(self.tiles):
            if number < len(self.kept):
                yield self.kept[number]
                continue
            scored = self.look.score(tile, *self.room.of(number, (*self.look.scores_BA.shape, tile.width)))
            if self.room.lasts(number):
                self.kept.append(scored)
            yield scored


class Part:
    """Some samples of the batch: their looks into all banks, and the columns that they look at."""

    def __init__(self, samples: slice, looks: Sequence[Look], columns: Columns):
        self.samples = samples
        self.looks = looks
        self.counts_B1 = columns.counts[:, None]
        self.anchor_peers = max(look.anchors_BAE.shape[1] for look in looks)
        self.tiles = list(columns.tiles(self.anchor_peers))

    def scores(self, *, keep: bool) -> Iterator[tuple[Look, Scores]]:
        """Yield each look with its scores, to be gone through at once; ``keep`` them if that will happen twice."""
        widest = len(self.counts_B1) * self.anchor_peers * max(tile.width for tile in self.tiles)
        places = _KEPT_BYTES // (widest * self.counts_B1.element_size()) if keep else 1
        places = min(max(1, places), len(self.tiles))
        with _borrowed((places + 1, widest), self.counts_B1) as numbers:
            for look in self.looks:
                yield look, Scores(look, self.tiles, _Room(numbers, len(self.tiles)))


class _Room:
    """Memory for scores, used again by every look: that of the first tiles is their own, the rest share one place.

    Args:
        numbers: A place in each row; the last one is free to work in.
        tiles: Number of tiles.
    """

    def __init__(self, numbers: Tensor, tiles: int):
        self.numbers = numbers
        self.places = len(numbers) - 1
        self.tiles = tiles

    def of(self, tile: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return the room of a tile's scores, and as much that is free."""
        place = min(tile, self.places - 1)
        numbers = math.prod(shape)
        return self.numbers[place, :numbers].view(shape), self.numbers[-1, :numbers].view(shape)

    def lasts(self, tile: int) -> bool:
        """Tell whether no other tile of the same look takes its place."""
        return self.places == self.tiles or tile < self.places - 1


@contextmanager
def _borrowed(shape: tuple[int, int], like: Tensor) -> Iterator[Tensor]:
    """Lend memory of that shape, of the precision and on the device of ``like``; on a CPU the thread keeps it."""
    bytes_needed = math.prod(shape) * like.element_size()
    # Taken out while it is lent, so nobody else gets it meanwhile.
    memory = _spare.__dict__.pop("memory", None) if like.device.type == "cpu" else None
    if memory is None or len(memory) < bytes_needed:
        memory = torch.empty(bytes_needed, dtype=torch.uint8, device=like.device)
    try:
        yield memory[:bytes_needed].view(like.dtype).view(shape)
    finally:
        if like.device.type == "cpu":
            _spare.memory = memory
