from dataclasses import replace

import pytest

from peerdistill.study.results import summarise, table_of
from peerdistill.study.results.images import comparable, different_images

ERRORS = {"plain": [30.0, 31.0, 33.0], "Peers": [29.0, 30.5, 31.0]}
IMAGES = {"train": "a1", "test": "b1"}


@pytest.fixture
def record(study, record_of):
    """The record of runs that all had the same images."""
    found = record_of(study, ERRORS)
    return replace(found, cells=tuple(replace(cell, images=IMAGES) for cell in found.cells))


def changed(record, choose, **values):
    """Return the record with other values of some cells."""
    return replace(record, cells=tuple(replace(cell, **values) if choose(cell) else cell for cell in record.cells))


def is_first_of_peers(cell) -> bool:
    return (cell.labels.get("method"), cell.seed) == ("Peers", 0)


def seeds_of_verdicts(study, record) -> list[tuple[int, ...]]:
    return [verdict.seeds for verdict in summarise(study, record).verdicts if verdict.first.endswith("Peers's leader")]


def test_runs_with_the_same_images_are_compared_without_a_word(study, record):
    assert different_images(record.cells) == {}
    assert seeds_of_verdicts(study, record) == [(0, 1, 2)]


@pytest.mark.parametrize(
    ("images", "words"),
    [({"train": "a1", "test": "b2"}, "test images"), ({"train": "a2", "test": "b1"}, "training images")],
)
def test_a_run_with_other_images_is_named_and_not_compared(study, record, images, words):
    mixed = changed(record, is_first_of_peers, images=images)
    (other,) = filter(is_first_of_peers, mixed.cells)
    sentence = different_images(mixed.cells)["digits"]
    assert sentence.startswith(f"digits: not all runs had the same {words}: ")
    assert f"'{other.name}'" in sentence
    assert "and 4 more" in sentence
    assert f"{sentence}." in table_of(summarise(study, mixed)).notes
    assert seeds_of_verdicts(study, mixed) == [(1, 2)]


def test_a_run_that_does_not_say_which_images_it_had_is_compared(study, record):
    older = changed(record, is_first_of_peers, images={})
    assert different_images(older.cells) == {}
    assert seeds_of_verdicts(study, older) == [(0, 1, 2)]


@pytest.mark.parametrize("option", ["subset", "validation"])
def test_runs_with_other_options_of_the_data_may_have_other_training_images(study, record, option):
    fewer = changed(record, is_first_of_peers, images={"train": "a2", "test": "b1"}, options={option: "other"})
    assert different_images(fewer.cells) == {}
    assert seeds_of_verdicts(study, fewer) == [(0, 1, 2)]


def test_a_place_is_no_option_of_the_data(record):
    first, second = (replace(record.cells[0], options={"data": place}) for place in ("photos", "copied"))
    assert comparable(first, second)
    assert not comparable(first, replace(second, images={"train": "a2", "test": "b1"}))


def test_without_test_images_runs_are_compared_on_validation_images(record):
    first = replace(record.cells[0], images={"train": "a", "val": "v"})
    assert comparable(first, replace(first, images={"train": "b", "val": "v"}, options={"augment": "other"}))
    assert not comparable(first, replace(first, images={"train": "b", "val": "w"}, options={"augment": "other"}))
