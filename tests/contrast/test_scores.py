"""Scores against a plain product, and which of them are kept for a second pass."""

import threading

import pytest
import torch

from peerdistill.contrast import scores
from peerdistill.contrast.columns import bank_columns
from peerdistill.contrast.scores import Look, Part

BATCH, PEERS, WIDTH, SAMPLES = 3, 2, 4, 25


@pytest.fixture
def look():
    return Look(1, torch.randn(BATCH, PEERS, WIDTH, dtype=torch.float64), torch.randn(BATCH, WIDTH).double())


@pytest.fixture
def banks():
    return torch.randn(2, SAMPLES, WIDTH, dtype=torch.float64)


def part_of(look, banks):
    """The look against 25 columns, seven in a tile."""
    columns = bank_columns(banks, torch.zeros(BATCH).long(), torch.arange(SAMPLES), None, torch.float64)
    part = Part(slice(None), [look], columns)
    assert [tile.width for tile in part.tiles] == [7, 7, 7, 4]
    return part


BYTES = 8 * BATCH * PEERS * 7  # of a tile


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (BYTES, 0), (2 * BYTES, 1), (3 * BYTES, 2), (4 * BYTES, 4)])
def test_a_second_pass_finds_what_the_first_left(look, banks, tiles_of, monkeypatch, room, kept):
    tiles_of(BYTES)
    monkeypatch.setattr(scores, "_KEPT_BYTES", room)
    expected = torch.exp(look.anchors_BAE @ banks[1].T)
    ((_, of_look),) = part_of(look, banks).scores(keep=True)
    for scored, h in zip(of_look, expected.split(7, dim=-1), strict=True):
        torch.testing.assert_close(scored.h, h)
        scored.free.fill_(torch.nan)  # is nobody's
    assert len(of_look.kept) == kept
    for number, scored in enumerate(of_look):
        torch.testing.assert_close(scored.h, expected.split(7, dim=-1)[number])
        scored.h.fill_(0)


def test_nothing_is_kept_unless_it_is_asked_for(look, banks, tiles_of):
    tiles_of(BYTES)
    ((_, of_look),) = part_of(look, banks).scores(keep=False)
    places = {scored.h.data_ptr() for scored in of_look}
    assert len(places) == 1
    assert not of_look.kept


def test_two_that_score_at_once_do_not_share_memory(look, banks, tiles_of):
    tiles_of(BYTES)
    first, second = (part_of(look, banks).scores(keep=True) for _ in range(2))
    (_, of_first), (_, of_second) = next(first), next(second)
    places = [{scored.h.data_ptr() for scored in of_look} for of_look in (of_first, of_second)]
    assert places[0].isdisjoint(places[1])


def test_memory_is_used_again(look, banks, tiles_of):
    tiles_of(BYTES)
    places = []
    for _ in range(2):
        for _, of_look in part_of(look, banks).scores(keep=True):
            places.append([scored.h.data_ptr() for scored in of_look])
    assert places[0] == places[1]


def test_memory_first_used_without_gradients_serves_with_them_too(look, banks, tiles_of, monkeypatch):
    tiles_of(BYTES)
    monkeypatch.setattr(scores, "_spare", threading.local())
    with torch.inference_mode():
        for _, of_look in part_of(look, banks).scores(keep=True):
            list(of_look)
    for _, of_look in part_of(look, banks).scores(keep=True):
        assert all(scored.h.add_(1).requires_grad is False for scored in of_look)


def test_way_back_is_that_of_autograd(look, banks, tiles_of):
    tiles_of(BYTES)
    slopes = torch.randn(BATCH, PEERS, SAMPLES, dtype=torch.float64)
    ((_, of_look),) = part_of(look, banks).scores(keep=True)
    for scored, slope in zip(of_look, slopes.split(7, dim=-1), strict=True):
        scored.pull_back(slope)
    look.pull_to_positives(torch.ones(BATCH, PEERS, dtype=torch.float64))
    x = look.anchors_BAE.clone().requires_grad_()
    total = (x @ banks[1].T * slopes).sum() + (x * look.positives_B1E).sum()
    torch.testing.assert_close(look.gradient_BAE, torch.autograd.grad(total, x)[0])
