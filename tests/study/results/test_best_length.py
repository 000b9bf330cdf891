"""Records of a single network with several lengths of training, and of a method whose cost lies between them."""

from dataclasses import replace

import pytest

from peerdistill.study.record import Record
from peerdistill.study.record.record import write_log
from peerdistill.study.results import summarise, table_of
from peerdistill.study.results.best_length import best_length
from peerdistill.study.results.groups import Groups
from study.results.conftest import recorded

SINGLE = {"method": "baseline", "peers": 1}
PARTS = [
    {"axes": {"method": {"Alone": SINGLE}}, "sweep": {"epochs": [5, 10, 20, 40]}},
    {"axes": {"method": {"Peers": {"method": "dml", "peers": 2}}}, "options": {"epochs": 10}},
]
ERRORS = {5: 31.0, 10: 33.0, 20: 30.0, 40: 25.0}
"""By epochs of the single network: 20 epochs are the best of those that take no longer than the peers."""
CPU, GPU = ({"processor": "P", "device": device} for device in ("cpu", "cuda:0"))


@pytest.fixture(scope="module")
def lengths(study_of):
    return study_of(axes={}, parts=PARTS, equal_compute=False)


def record_of(study, errors=ERRORS, machines=lambda cell: CPU, folder=None) -> Record:
    """10 s and 10 multiply-adds an epoch of the single network, 22 s and 15 multiply-adds one of the peers."""
    cells = []
    for cell in study.cells:
        alone = cell.peers == 1
        error = (errors[cell.epochs] if alone else 29.0) + cell.seed**2 / 10
        costs = {"cpu_seconds": cell.epochs * (10.0 if alone else 22.0), "seconds": 1.0}
        costs |= {"multiply_adds": cell.epochs * (10 if alone else 15), "machine": machines(cell)}
        cells.append(recorded(cell, error, **costs))
    return Record(study.title, study.scale.name, {}, tuple(cells), folder=folder)


def of_peers(study, record):
    groups = Groups(study, record)
    return best_length(groups, groups.with_labels({"dataset": "digits", "method": "Peers"}), "error")


def test_the_best_length_is_chosen_among_those_that_take_as_long(lengths):
    found = of_peers(lengths, record_of(lengths))
    assert (found.group.cells[0].epochs, found.compute, found.chosen_on) == (20, "equal time", "test")


def test_times_of_different_machines_are_not_compared(lengths):
    """The peers took 1 s on a GPU. They cost 150 multiply-adds, and 20 epochs of the single network 200."""
    record = record_of(lengths, machines=lambda cell: GPU if cell.peers > 1 else CPU)
    found = of_peers(lengths, record)
    assert (found.group.cells[0].epochs, found.compute) == (5, "equal multiply-adds")


def test_the_machine_of_a_teacher_counts_too(study_of):
    """The student takes 220 s on a CPU, but nobody knows how long its teacher would have taken there."""
    student = {"method": "kd", "teacher": {"epochs": 15}}
    parts = [PARTS[0], {"axes": {"method": {"Student": student}}, "options": {"epochs": 10}}]
    study = study_of(axes={}, parts=parts, equal_compute=False)
    errors = {**ERRORS, 15: 32.0}  # of the teacher
    record = record_of(study, errors, machines=lambda cell: GPU if cell.role == "teacher" else CPU)
    groups = Groups(study, record)
    found = best_length(groups, groups.with_labels({"dataset": "digits", "method": "Student"}), "error")
    assert found.compute == "equal multiply-adds"


def test_on_an_accelerator_the_elapsed_time_counts(lengths):
    found = of_peers(lengths, record_of(lengths, machines=lambda cell: GPU))
    assert found.group.cells[0].epochs == 40  # all took 1 s


def test_the_choice_is_made_on_validation_images_where_there_are_some(lengths, tmp_path):
    record = record_of(lengths, folder=tmp_path)
    for cell in lengths.cells:
        accuracy = 80.0 if cell.epochs == 10 else 70.0
        write_log(tmp_path, cell.name, {}, [{"validation": {"leader": {"top1": accuracy}}}])
    found = of_peers(lengths, record)
    assert (found.group.cells[0].epochs, found.chosen_on) == (10, "validation")


def test_only_seeds_that_the_method_has_count(lengths):
    """With seed 2, which the peers lack, 5 epochs of the single network are perfect."""
    record = record_of(lengths)
    perfect = {"error": {"leader": 0.0, "mean peer": 0.0, "ensemble": None}}
    cells = [cell for cell in record.cells if cell.labels["method"] == "Alone" or cell.seed < 2]
    cells = [replace(cell, last=perfect) if (cell.seed, cell.epochs) == (2, 5) else cell for cell in cells]
    assert of_peers(lengths, replace(record, cells=tuple(cells))).group.cells[0].epochs == 20


def test_a_network_without_this_measurement_is_left_out(lengths):
    """20 epochs have no figure in the column of the method."""
    record = record_of(lengths)
    other = {"validation error": {"leader": 1.0, "mean peer": 1.0, "ensemble": None}}
    cells = [replace(cell, last=other) if cell.epochs == 20 else cell for cell in record.cells]
    assert of_peers(lengths, replace(record, cells=tuple(cells))).group.cells[0].epochs == 5


def test_one_length_leaves_no_choice_and_a_plain_network_has_none(lengths, study_of):
    only = study_of(axes={}, parts=[{**PARTS[0], "sweep": {"epochs": [10]}}, PARTS[1]], equal_compute=False)
    assert of_peers(only, record_of(only)) is None
    groups = Groups(lengths, record_of(lengths))
    assert all(best_length(groups, one, "error") is None for one in groups.methods if one.labels["method"] == "Alone")


def test_none_is_within_the_compute_of_a_cheap_method(lengths):
    record = record_of(lengths)
    cheap = [replace(cell, cpu_seconds=1.0) if cell.labels["method"] == "Peers" else cell for cell in record.cells]
    assert of_peers(lengths, replace(record, cells=tuple(cheap))) is None


def test_networks_with_other_options_are_no_lengths(study_of):
    """A single network with another learning rate takes as long and has no error at all."""
    other = {"axes": {"method": {"Other": dict(SINGLE)}}, "options": {"epochs": 20, "lr": 0.2}}
    study = study_of(axes={}, parts=[*PARTS, other], equal_compute=False)
    record = record_of(study, ERRORS)
    perfect = {"error": {"leader": 0.0, "mean peer": 0.0, "ensemble": None}}
    names = {cell.name for cell in study.cells if cell.resolved.training.lr == 0.2}
    cells = tuple(replace(cell, last=perfect) if cell.name in names else cell for cell in record.cells)
    found = of_peers(study, replace(record, cells=cells))
    assert found.group.cells[0].epochs == 20
    assert found.group.cells[0].name not in names


def test_the_verdict_and_the_table_say_how_it_was_chosen(lengths):
    summary = summarise(lengths, record_of(lengths))
    sentences = [verdict.sentence for verdict in summary.verdicts if "Peers" in verdict.sentence]
    assert "the plain network (20 epochs, the best on the test set within its time)" in sentences[0]
    assert "by 1.00 points" not in sentences[0]  # the difference is the same with all seeds: there is no interval
    table = table_of(summary)
    values = [str(row["Equal compute"]["plain network, best length"]) for row in table.rows]
    assert [value for value in values if value != "None"] == ["30.17 ± 0.21 (20 epochs)"]
    assert any("A choice on the test set favours the plain network" in note for note in table.notes)
