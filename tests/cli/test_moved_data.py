"""Commands that read a run whose data has moved, grown or changed, or that is evaluated on other data."""

import json
import shutil

import pytest

from peerdistill.runs import Run
from support.photos import write_noise, write_photos

WORDS = "--image_size 16 --epochs 1 --batch_size 8 --peers 2 --workers 0 --cache off --backbone resnet8 --method one"


@pytest.fixture(scope="module")
def kept(tmp_path_factory, peerdistill):
    """A run on class folders and its data."""
    folder = tmp_path_factory.mktemp("moved")
    write_photos(folder / "photos", 40)
    outcome = peerdistill("train", folder / "photos", *WORDS.split(), "--run", folder / "run")
    assert outcome.code == 0, outcome.stderr
    return folder


@pytest.fixture
def place(kept, tmp_path, monkeypatch):
    """A copy of that run, and of its data in another place than the run records."""
    shutil.copytree(kept / "run", tmp_path / "run")
    shutil.copytree(kept / "photos", tmp_path / "moved")
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(kept / "photos"), str(tmp_path / "photos")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evaluated(peerdistill, *words):
    outcome = peerdistill("evaluate", "run", "--json", *words)
    assert outcome.code == 0, outcome.stderr
    return json.loads(outcome.stdout), outcome.stderr


def test_the_error_for_missing_data_names_the_option(place, peerdistill):
    for command in ("evaluate run", "export run", "bench run"):
        outcome = peerdistill(*command.split())
        assert outcome.code == 2
        assert outcome.stderr == (
            f"peerdistill: the data of run is no longer in '{place}/photos': pass its new place by --data\n"
        )


def test_moved_data_is_recognised(place, kept, peerdistill):
    found, warnings = evaluated(peerdistill, "--data", "moved")
    assert warnings == ""
    assert found["split"] == "test"
    measured = json.loads((kept / "run/result.json").read_text())["last"]["test"]
    assert found["peers"] == measured["peers"]
    for predictor in ("leader", "ensemble"):
        assert found[predictor]["top1"] == measured[predictor]["top1"]
    assert (
        peerdistill(
            "export", "run", "--data", "moved", "--output", "leader.safetensors", "--format", "safetensors"
        ).code
        == 0
    )


def test_a_resumed_run_records_the_new_place(place, peerdistill):
    outcome = peerdistill("train", "--resume", "--run", "run", "--data", "moved", "--cache", "off")
    assert outcome.code == 0, outcome.stderr
    assert f"data: {place}/moved\n" in (place / "run/config.yaml").read_text()
    assert evaluated(peerdistill)[1] == ""


def test_a_grown_folder_keeps_its_split(place, peerdistill):
    before, _ = evaluated(peerdistill, "--data", "moved")
    for file in list((place / "moved/cat").iterdir()):
        shutil.copy(file, file.with_name(f"new{file.name}"))
    found, warnings = evaluated(peerdistill, "--data", "moved")
    assert "peerdistill: the data has grown: " in warnings
    assert " test images are copies of images that the run was trained on" in warnings
    assert found["split"] == "test"
    assert found["samples"] > before["samples"]


def test_other_pictures_are_evaluated_with_a_warning(place, peerdistill):
    write_photos(place / "other", 10)
    found, warnings = evaluated(peerdistill, "--data", "other")
    assert found["split"] == "all"
    assert found["samples"] == 10
    # They are the first pictures of the run's data, most of which are for training.
    assert "evaluated on other images than the run's: all 10 of " in warnings
    assert " of which the run was trained on" in warnings


def test_pictures_of_one_class_are_enough(place, peerdistill):
    write_photos(place / "other", 10)
    shutil.rmtree(place / "other/dog")
    found, warnings = evaluated(peerdistill, "--data", "other")
    assert found["samples"] == 5
    assert "has no picture of 'dog'" in warnings


def test_a_run_without_a_record_of_its_training_images(place, peerdistill):
    checkpoints = Run("run").checkpoints
    state = checkpoints.load(checkpoints.last)
    del state["notes"]["data"]["contents"]
    checkpoints.save(state, best=True)
    write_photos(place / "other", 10)
    found, warnings = evaluated(peerdistill, "--data", "other")
    assert found["samples"] == 10
    assert "the run does not record its training images" in warnings
    write_photos(place / "moved", 60)
    outcome = peerdistill("train", "--resume", "--run", "run", "--data", "moved")
    assert outcome.code == 2
    assert "trained on" in outcome.stderr


def test_other_data_with_splits_is_evaluated_on_its_test_images(place, peerdistill):
    for split, pictures in (("train", 8), ("test", 6)):
        write_photos(place / "divided" / split, pictures)
    found, _ = evaluated(peerdistill, "--data", "divided")
    assert (found["split"], found["samples"]) == ("test", 6)
    outcome = peerdistill("evaluate", "run", "--data", "divided", "--split", "val")
    assert outcome.code == 2
    assert outcome.stderr.endswith("has no val folder: it has train and test\n")


@pytest.mark.parametrize("command", ["evaluate", "export --int8", "train --resume --run"])
def test_replaced_pictures_are_detected(place, peerdistill, command):
    write_noise(sorted((place / "moved/cat").iterdir())[-1], seed=99)
    for file in (place / "moved/dog").iterdir():
        write_noise(file, seed=hash(file.name) % 1000 + 1000)
    name, *options = command.split()
    words = [name, "run", *options] if name != "train" else [name, *options, "run"]
    outcome = peerdistill(*words, "--data", "moved")
    if name == "evaluate":
        assert "evaluated on other images than the run's" in outcome.stderr
    else:
        assert outcome.code == 2
        assert "the training images have changed since the run was started" in outcome.stderr


def test_an_unknown_class_is_refused(place, peerdistill):
    for number in range(3):
        write_noise(place / "birds/bird" / f"{number}.png", number)
        write_noise(place / "birds/cat" / f"{number}.png", number)
    outcome = peerdistill("evaluate", "run", "--data", "birds")
    assert outcome.code == 2
    assert "class 'bird' of " in outcome.stderr
    assert outcome.stderr.endswith("is not a class of the run: it has 'cat' and 'dog'\n")
