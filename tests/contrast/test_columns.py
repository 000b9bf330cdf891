"""Which columns a batch is scored against, in which tiles, and by which route own negatives go."""

import pytest
import torch

from peerdistill.contrast import columns
from peerdistill.contrast.columns import CommonColumns, GatheredColumns, bank_columns, queue_columns

PEERS, BATCH, SAMPLES, WIDTH = 3, 5, 23, 4
LABELS = torch.arange(SAMPLES) % 3
INDICES = torch.tensor([3, 0, 14, 3, 22])


@pytest.fixture
def banks():
    return torch.randn(PEERS, SAMPLES, WIDTH, dtype=torch.float64)


def laid_out(found, peer):
    """For each sample the rows it is scored against, each as often as it counts, in any order."""
    rows = [[] for _ in range(BATCH)]
    for samples, part in found.parts():
        for tile in part.tiles(2):
            of_tile = tile.rows(peer)
            weights = [of() for of in (tile.mask, tile.times) if of]
            assert len(weights) < 2
            assert of_tile.shape[-2] == tile.width
            for place, sample in enumerate(range(BATCH)[samples]):
                found_nE = of_tile if of_tile.ndim == 2 else of_tile[place]
                times = weights[0][place].int().tolist() if weights else [1] * tile.width
                rows[sample] += [tuple(row) for row, n in zip(found_nE.tolist(), times, strict=True) for _ in range(n)]
    return [sorted(of_sample) for of_sample in rows]


def expected(banks, rows, peer):
    return [sorted(tuple(banks[peer, row].tolist()) for row in of_sample) for of_sample in rows]


@pytest.mark.parametrize("size", [1, 200, 2**20])
@pytest.mark.parametrize("gather_cost", [0, 100], ids=["gathered", "counted"])
def test_own(banks, tiles_of, monkeypatch, size, gather_cost):
    tiles_of(size)
    monkeypatch.setattr(columns, "_GATHER_COST", gather_cost)
    own = torch.randint(SAMPLES, (BATCH, 9))
    own[:, -1] = own[:, 0]  # one of them twice at least
    found = bank_columns(banks, INDICES, own, LABELS, torch.float64)
    assert isinstance(found, CommonColumns if gather_cost else GatheredColumns)
    assert found.counts.tolist() == [9] * BATCH
    for peer in range(PEERS):
        assert laid_out(found, peer) == expected(banks, own.tolist(), peer)


@pytest.mark.parametrize("size", [1, 200, 2**20])
@pytest.mark.parametrize("kind", ["shared", "all"])
def test_others_leave_out_the_anchors_label(banks, tiles_of, size, kind):
    tiles_of(size)
    shared = torch.tensor([1, 1, 3, 0, 21, 7, 8])
    found = bank_columns(banks, INDICES, shared if kind == "shared" else "all", LABELS, torch.float64)
    among = shared.tolist() if kind == "shared" else range(SAMPLES)
    rows = [[row for row in among if LABELS[row] != LABELS[own]] for own in INDICES]
    assert found.counts.tolist() == [len(of_sample) for of_sample in rows]
    for peer in range(PEERS):
        assert laid_out(found, peer) == expected(banks, rows, peer)


def test_queue_leaves_out_empty_places_too(banks):
    labels = LABELS.clone()
    labels[10:15] = -1
    found = queue_columns(banks, labels, torch.tensor([0, 1, 2, 2, 0]), torch.float64)
    rows = [[row for row in range(SAMPLES) if labels[row] not in (-1, own)] for own in (0, 1, 2, 2, 0)]
    assert laid_out(found, 1) == expected(banks, rows, 1)
    assert found.counts.tolist() == [len(of_sample) for of_sample in rows]


def test_few_own_negatives_are_gathered_and_many_counted():
    banks = torch.zeros(4, 1000, 2)
    kinds = {
        drawn: type(bank_columns(banks, torch.tensor([0, 1]), torch.zeros(2, drawn).long(), None, torch.float32))
        for drawn in (2, 900)
    }
    assert kinds == {2: GatheredColumns, 900: CommonColumns}


def test_tiles_keep_to_their_size(tiles_of):
    """Scores of all anchors in one tile, in single precision; a tile has one column at least."""
    banks, anchor_peers = torch.zeros(PEERS, 200, WIDTH), 2
    for width in (7, 50):
        tiles_of(4 * width * anchor_peers * BATCH)
        found = bank_columns(banks, INDICES, torch.arange(200), None, torch.float32)
        assert {tile.width for tile in found.tiles(anchor_peers)} == {width, 200 % width or width}
    tiles_of(1)
    assert {tile.width for tile in found.tiles(anchor_peers)} == {1}


def test_gathered_rows_of_a_tile_keep_to_its_size(tiles_of):
    banks, own = torch.zeros(PEERS, 10_000, WIDTH), torch.zeros(BATCH, 6).long()
    found = bank_columns(banks, INDICES, own, None, torch.float32)
    tiles_of(4 * WIDTH * 6 * 2)  # the six rows of two samples
    assert [part.columns_BS.shape for _, part in found.parts()] == [(2, 6), (2, 6), (1, 6)]
    assert [tile.width for _, part in found.parts() for tile in part.tiles(2)] == [6, 6, 12 // 2]
    tiles_of(4 * WIDTH * 4)  # four of the six rows of one
    assert [tile.width for _, part in found.parts() for tile in part.tiles(2)] == [4, 2] * BATCH
