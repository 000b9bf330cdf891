"""Cells: words that the command line understands, names, longer trainings."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.config import parse
from peerdistill.config.kinds import KINDS
from peerdistill.errors import UserError
from peerdistill.study.plan import Cell, Place

DIGITS = Cell(
    {"dataset": "digits"},
    "classes",
    {
        "recipe": "digits",
        "method": "mcl-okd",
        "sharing": [1, 2, 2, 2],
        "peers": 2,
        "contrast.count": 8,
        "class_weights": {"3": 2.0},
        "flip": False,
        "peer_backbones": None,
        "lr": 1e-5,
    },
    seed=3,
    place=Place("digits"),
)
EPISODES = Cell(
    {"dataset": "Omniglot"}, "episodes", {"recipe": "omniglot", "method": "baseline"}, 0, place=Place("omniglot")
)


@pytest.mark.parametrize("cell", [DIGITS, EPISODES], ids=["classes", "episodes"])
def test_words_give_the_configuration_on_the_command_line(cell):
    parsed, flags = parse(cell.words(), KINDS[cell.kind])
    assert parsed == cell.config()
    assert flags.run is None


def test_a_name_says_what_the_run_is():
    assert DIGITS.name.startswith("digits-resnet20-mcl-okd-1-2-2-2-2-")
    assert DIGITS.name.endswith(f"-{DIGITS.digest}-s3")
    assert EPISODES.name.startswith("omniglot-conv4-baseline-branch-4-")


def test_a_name_has_no_labels_but_that_of_the_data():
    relabelled = replace(DIGITS, labels={"dataset": "digits", "method": "ours", "row": "7"}, role="plain")
    assert relabelled.name == DIGITS.name
    assert replace(DIGITS, labels={"dataset": "Other digits"}).name.startswith("other-digits-")


def test_names_are_file_names_whatever_the_labels_are():
    cell = replace(DIGITS, labels={"dataset": "../Zürich / a:b"})
    assert "/" not in cell.name
    assert cell.name.startswith("zürich-a-b-resnet20")


def test_data_without_a_place_have_a_name_and_no_configuration():
    cell = replace(DIGITS, labels={"dataset": "ImageNet"}, place=Place())
    assert cell.name
    with pytest.raises(UserError, match="ImageNet has no default place: say where it is with --data ImageNet=DATA"):
        cell.words()
    assert cell.config(Place("digits")) == DIGITS.config()
    assert cell.name.replace("imagenet", "digits") == DIGITS.name


def test_teacher_folder_becomes_an_option(tmp_path):
    student = replace(DIGITS, options={"recipe": "digits", "method": "kd"}, teacher=DIGITS)
    assert f"--teacher={tmp_path}" in student.words(teacher=tmp_path)
    assert f"--teacher={DIGITS.name}" in student.words()


@settings(max_examples=40)
@given(factor=st.floats(1, 50), epochs=st.integers(1, 400))
def test_a_longer_training_is_rounded_up_to_two_digits(factor, epochs):
    cell = DIGITS.changed("method", {"epochs": epochs})
    longer = cell.longer(factor, "equal time")
    assert longer.role == "equal time"
    found = longer.config().training.epochs
    exact = factor * epochs
    assert found >= exact * (1 - 1e-6)
    assert found <= max(math.ceil(exact), exact * 1.1 + 1e-6)
    assert float(f"{found:.1e}") == found


def test_longer_episodes_keep_their_schedule_in_proportion():
    longer = EPISODES.longer(1.63, "equal time").config()
    assert longer.episodes is not None
    assert longer.episodes.episodes == 17_000  # of 10,000
    assert longer.training.schedule.every == 3_400  # of 2,000
    longer.episodes.check()
