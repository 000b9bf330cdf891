"""Runs on a folder with a table of labels."""

import shutil
from pathlib import Path

import pytest

import peerdistill
from peerdistill.errors import UserError
from peerdistill.runs import Run
from support.command_line import run as peerdistill_command
from support.photos import write_class_folders, write_photos

QUICK = {"backbone": "resnet8", "peers": 2, "epochs": 1, "image_size": 8, "workers": 0, "cache": "off"}
COUNTS = {"cat": 15, "dog": 15}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Class folders, and a table in the same folder that names their pictures."""
    folder = write_class_folders(tmp_path_factory.mktemp("labels") / "photos", COUNTS)
    return write_table(folder)


def write_table(folder: Path) -> Path:
    lines = [f"{path.relative_to(folder)},{path.parent.name}" for path in sorted(folder.rglob("*.png"))]
    (folder / "labels.csv").write_text("\n".join(["path,label", *lines]))
    return folder


@pytest.fixture(scope="module")
def run(folder) -> Run:
    return peerdistill.train(folder, labels=folder / "labels.csv", run=folder.parent / "run", **QUICK)


@pytest.mark.filterwarnings("ignore::peerdistill.errors.PeerdistillWarning")
def test_a_run_with_a_table_is_that_of_the_class_folders(run, folder, tmp_path):
    other = peerdistill.train(folder, run=tmp_path / "run", **QUICK)
    assert run.metrics_file.read_bytes() == other.metrics_file.read_bytes()
    assert run.evaluate() == other.evaluate()


def test_the_table_moves_with_its_folder(run, folder, tmp_path):
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert Run(run.path, {"data": str(moved)}).config.data.labels == str(moved / "labels.csv")
    assert Run(run.path, {"data": str(moved)}).evaluate() == run.evaluate()
    (moved / "labels.csv").unlink()
    assert Run(run.path, {"data": str(moved)}).config.data.labels is None
    assert Run(run.path, {"labels": "off"}).evaluate() == run.evaluate()


def test_a_run_is_resumed_with_a_moved_table(run, folder, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "run")
    table = shutil.copy(folder / "labels.csv", tmp_path / "table.csv")
    done = peerdistill_command("train", "--resume", "--run", copy, "--labels", table)
    assert done.code == 0, done.stderr
    assert Run(copy).config.data.labels == str(table)
    table.write_text(table.read_text().replace("cat/1.png,cat", "cat/1.png,dog"))  # a training picture
    done = peerdistill_command("train", "--resume", "--run", copy)
    assert (done.code, done.stderr) == (2, "peerdistill: the training images have changed since the run was started\n")


def test_other_images_with_another_table(run, tmp_path):
    other = write_table(write_photos(tmp_path / "other", 6, seed=500))
    done = peerdistill_command("evaluate", run.path, "--data", other, "--labels", other / "labels.csv")
    assert done.code == 0, done.stderr
    assert f"evaluated on other images than the run's: all 6 of {other}\n" in done.stderr


def test_a_table_that_is_gone_is_named(run, tmp_path):
    copy = Run(shutil.copytree(run.path, tmp_path / "run"))
    text = copy.config_file.read_text()
    copy.config_file.write_text(text.replace("labels.csv", "gone.csv"))
    with pytest.raises(UserError, match=r"the table of labels of .* is no longer '.*gone.csv': pass its new place by"):
        copy.evaluate()
