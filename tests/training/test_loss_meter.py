import gc
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.training import Diverged
from peerdistill.training.loss_meter import LossMeter


def add(meter: LossMeter, total: float, **parts: float) -> None:
    meter.add(torch.tensor(total), {name: torch.tensor(value) for name, value in parts.items()})


def losses(count: int) -> np.ndarray:
    """Total and two parts of ``count`` steps, in float32."""
    return np.random.default_rng(count).normal(3.0, 2.0, size=(count, 3)).astype(np.float32)


def test_read_returns_the_mean_of_every_part():
    meter, rows = LossMeter(), losses(23)
    for total, first, second in rows.tolist():
        add(meter, total, first=first, second=second)
    found = meter.read(step=23)
    assert list(found) == ["total", "first", "second"]
    assert list(found.values()) == pytest.approx(rows.astype(np.float64).mean(0), rel=1e-12)


@settings(deadline=None, max_examples=20)
@given(read_after=st.sets(st.integers(1, 20)))
def test_how_often_it_is_read_does_not_change_the_result(read_after):
    often, once = LossMeter(), LossMeter()
    for step, row in enumerate(losses(20).tolist(), start=1):
        for meter in (often, once):
            add(meter, row[0], first=row[1], second=row[2])
        if step in read_after:
            often.read(step)
    assert often.read(20) == once.read(20)


def test_a_resumed_meter_gives_the_same_result():
    whole, before = LossMeter(), LossMeter()
    rows = losses(12).tolist()
    for total, first, second in rows:
        add(whole, total, first=first, second=second)
    for total, first, second in rows[:5]:
        add(before, total, first=first, second=second)
    before.read(5)
    after = LossMeter()
    after.load_state_dict(before.state_dict())
    for total, first, second in rows[5:]:
        add(after, total, first=first, second=second)
    assert after.read(12) == whole.read(12)


def test_reset_starts_a_new_mean():
    meter = LossMeter()
    add(meter, 5.0, part=5.0)
    meter.read(1)
    meter.reset()
    add(meter, 1.0, part=1.0)
    assert meter.read(2) == {"total": 1.0, "part": 1.0}


class Saved:
    """A tensor that autograd keeps for the backward pass."""

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor


def test_the_autograd_graph_is_freed():
    saved = []

    def pack(tensor: torch.Tensor) -> Saved:
        kept = Saved(tensor)
        saved.append(weakref.ref(kept))
        return kept

    meter, weight = LossMeter(), torch.ones((), requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        total = weight * weight
    meter.add(total, {"part": total})
    assert all(reference() for reference in saved)
    del total
    gc.collect()
    assert saved
    assert not any(reference() for reference in saved)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_error_names_the_part_that_is_not_finite_and_its_step(value):
    meter = LossMeter()
    add(meter, 1.0, cross_entropy=0.5, contrast=0.5)
    meter.read(step=41)
    add(meter, 1.0, cross_entropy=0.5, contrast=0.5)
    add(meter, value, cross_entropy=0.5, contrast=value)
    add(meter, value, cross_entropy=value, contrast=value)
    with pytest.raises(Diverged, match=r"^the loss is not finite at step 43: contrast$"):
        meter.read(step=44)


def test_the_error_names_the_total_if_only_the_sum_overflows():
    meter = LossMeter()
    add(meter, float("inf"), first=3e38, second=3e38)
    with pytest.raises(Diverged, match="step 1: total"):
        meter.read(step=1)
