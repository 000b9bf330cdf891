"""``--dry_run`` of the commands that train."""

import json

import pytest

from support.command_line import run
from support.photos import write_class_folders

QUICK = ("--backbone", "resnet8", "--image_size", "16", "--workers", "0", "--cache", "off", "--batch_size", "4")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_class_folders(tmp_path / "photos", {"cat": 24, "dog": 6})


def test_it_prints_the_data_the_network_and_the_time_and_writes_nothing(photos, tmp_path):
    outcome = run("train", "photos", *QUICK, "--epochs", "7", "--dry_run")
    assert outcome.code == 0, outcome.stderr
    shown = " ".join(outcome.stdout.split())
    for text in (
        "2 classes",
        "cat",
        "imbalanced",
        "16 x 16 RGB",
        "4 x resnet8",
        "deployed",
        "contrast",
        "sgd",
        "7 epochs",
        "equal time",
    ):
        assert text in shown
    assert "from 3 steps" in shown
    assert {file.name for file in tmp_path.iterdir()} == {"photos"}


def test_json(photos):
    found = json.loads(run("train", "photos", *QUICK, "--epochs", "7", "--dry_run", "--json").stdout)
    assert found["steps"] == 7 * found["steps_per_epoch"]
    assert found["images"]["train"].keys() == {"cat", "dog"}
    assert found["estimated_seconds"] > 0


def test_with_resume_it_is_refused(photos, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(run("train", "photos", *QUICK, "--print_config").stdout)
    outcome = run("train", "--resume", "--run", "run", "--dry_run")
    assert outcome.code == 2
    assert outcome.stderr.startswith("peerdistill: dry_run cannot be combined with resume")


def test_few_shot(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "photos", dict.fromkeys(("ant", "bee", "cat", "dog", "elk", "fox"), 8))
    shape = "--ways 2 --shots 1 --queries 2 --test.ways 2 --test.queries 2 --episodes 4 --episodes_per_epoch 2"
    words = ("--backbone", "conv4", "--image_size", "16", *shape.split())
    outcome = run("fewshot", "photos", *words, "--dry_run", "--json")
    assert outcome.code == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert (found["steps_per_epoch"], found["steps"]) == (2, 4)
    assert found["images"]["train"].keys().isdisjoint(found["images"]["test"])
