import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.study.plan import Cell, Place
from peerdistill.study.runner.clock import Clock


def cell(epochs: int, seed: int = 0, method: str = "dml") -> Cell:
    options = {"method": method, "backbone": "resnet8", "epochs": epochs}
    return Cell({"dataset": "digits"}, "classes", options, seed, place=Place("digits"))


SHORT, LONG, OTHER = cell(2), cell(10), cell(2, method="kdcl")


def test_nothing_is_known_before_the_first_cell():
    assert Clock().seconds_of(SHORT) is None
    assert Clock().left([SHORT], {}, 1) is None
    assert Clock().left([], {}, 1) == 0


def test_the_time_of_a_cell_is_that_of_its_other_seeds():
    clock = Clock()
    clock.note(SHORT, 4.0)
    clock.note(OTHER, 10.0)
    assert clock.seconds_of(cell(2, seed=1)) == pytest.approx(4.0)
    assert clock.seconds_of(LONG) == pytest.approx(10 * (2.0 + 5.0) / 2)  # the mean cell, per epoch


def test_the_time_to_start_counts_once_per_cell():
    clock = Clock()
    clock.note(SHORT, 4.0, start=6.0)
    assert clock.seconds_of(cell(2, seed=1)) == pytest.approx(10.0)
    assert clock.seconds_of(LONG) == pytest.approx(6.0 + 20.0)


@given(st.floats(0.1, 100), st.floats(0, 20), st.integers(1, 9))
def test_a_cell_that_runs_as_fast_as_others_needs_the_rest_of_its_time(training, start, done):
    clock = Clock()
    clock.note(LONG, training, start)
    elapsed = start + training * done / 10
    left = clock.left([], {cell(10, seed=1): (elapsed, done / 10)}, 1)
    assert left == pytest.approx(training * (1 - done / 10), abs=1e-6)


@given(st.integers(1, 8), st.integers(0, 9))
def test_several_jobs_share_the_time_but_no_cell_ends_sooner_than_alone(jobs, count):
    clock = Clock()
    clock.note(SHORT, 4.0)
    waiting = [cell(2, seed) for seed in range(count)]
    assert clock.left(waiting, {}, jobs) == pytest.approx(max(4.0 * count / jobs, 4.0 if count else 0.0))
