from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.study.record.record import write_log
from peerdistill.study.results import extra_cells
from peerdistill.study.results.equal_compute import best_of, expected_best
from peerdistill.study.results.groups import Groups
from study.results.conftest import recorded

ERRORS = {"plain": [30.0, 31.0, 32.0], "Peers": [29.0, 30.0, 31.0], "MCL|OKD": [28.0, 29.0, 30.0]}


def lengths(cells) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for cell in cells:
        found.setdefault(cell.role, set()).add(cell.epochs)
    return found


def test_the_plain_network_is_trained_for_the_compute_of_each_method(study, record_of):
    """10 epochs x 2.36 and x 2.34 are both 24; x 1.21 and x 8.91 are 13 and 90."""
    record = record_of(
        study, ERRORS, {"plain": 100, "Peers": 236, "MCL|OKD": 234}, {"plain": 100, "Peers": 121, "MCL|OKD": 891}
    )
    cells = extra_cells(study, record)
    assert lengths(cells) == {"equal time": {24}, "equal multiply-adds": {13, 90}}
    assert len(cells) == 3 * 3  # both methods share the cells of 24 epochs
    assert {(cell.resolved.method, cell.peers, cell.seed) for cell in cells} == {("baseline", 1, s) for s in range(3)}


def test_a_method_that_takes_no_more_needs_no_longer_training(study, record_of):
    record = record_of(study, ERRORS, {"plain": 100, "Peers": 100, "MCL|OKD": 90})
    assert extra_cells(study, record) == ()


def test_nothing_is_trained_that_the_study_does_not_ask_for(study, record_of):
    record = record_of(study, ERRORS, {"plain": 100, "Peers": 236})
    assert extra_cells(replace(study, equal_compute=False), record) == ()


@pytest.mark.parametrize("known", [{"Peers": 236}, {"plain": 100}, {}])
def test_unknown_times_give_no_cells(study, record_of, known):
    assert extra_cells(study, record_of(study, ERRORS, known)) == ()


def test_a_cell_of_almost_the_same_length_is_used_again(study, record_of):
    """The mean time of a method changes with every seed: it must not start another training each time."""
    first = record_of(study, ERRORS, {"plain": 100, "Peers": 236})
    (*_, longer) = extra_cells(study, first)
    later = record_of(study, ERRORS, {"plain": 100, "Peers": 229})
    assert lengths(extra_cells(study, later)) == {"equal time": {23}}
    with_longer = replace(later, cells=(*later.cells, recorded(longer, 29.0)))
    assert lengths(extra_cells(study, with_longer)) == {"equal time": {24}}
    much_later = record_of(study, ERRORS, {"plain": 100, "Peers": 190})
    with_longer = replace(much_later, cells=(*much_later.cells, recorded(longer, 29.0)))
    assert lengths(extra_cells(study, with_longer)) == {"equal time": {19}}


FIGURES_AND_RANKS = st.tuples(st.floats(0, 100), st.integers(0, 10**6))


@given(pairs=st.lists(FIGURES_AND_RANKS, min_size=2, max_size=6, unique_by=lambda pair: pair[1]), data=st.data())
def test_the_expected_best_is_the_mean_over_all_sets(pairs, data):
    networks = data.draw(st.integers(1, len(pairs)))
    best = [max(chosen, key=lambda pair: pair[1])[0] for chosen in combinations(pairs, networks)]
    found = expected_best([figure for figure, _ in pairs], [float(rank) for _, rank in pairs], networks)
    assert found == pytest.approx(np.mean(best))


def test_of_equal_ranks_each_is_as_likely_to_be_the_best():
    """Not the one whose seed comes first."""
    assert expected_best([10.0, 20.0, 90.0], [5.0, 5.0, 1.0], 2) == pytest.approx(15)
    assert expected_best([20.0, 10.0, 90.0], [5.0, 5.0, 1.0], 2) == pytest.approx(15)


def test_the_best_of_the_plain_networks_is_chosen_on_the_test_set_without_validation(study, record_of):
    (plain,) = Groups(study, record_of(study, ERRORS)).plain
    found = best_of(plain, "error", 2)
    assert found is not None
    assert (found.figure, found.chosen_on) == (pytest.approx((30 + 30 + 31) / 3), "test")
    assert best_of(plain, "error", 4) is None  # only 3 seeds
    assert best_of(plain, "error", 1) is None  # nothing to choose


def test_the_best_of_the_plain_networks_is_chosen_on_validation_where_there_is_one(study, record_of, tmp_path):
    (plain,) = Groups(study, record_of(study, ERRORS, folder=tmp_path)).plain
    for cell, accuracy in zip(plain.cells, (60.0, 80.0, 70.0), strict=True):
        write_log(tmp_path, cell.name, {}, [{"validation": {"leader": {"top1": accuracy}}}])
    found = best_of(plain, "error", 2)
    assert found is not None
    assert (found.figure, found.chosen_on) == (pytest.approx((31 + 31 + 32) / 3), "validation")
