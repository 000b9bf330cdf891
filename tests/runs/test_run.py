import errno
import os
import shutil

import pytest

from peerdistill.config import parse
from peerdistill.errors import Failure, PeerdistillWarning, UserError
from peerdistill.files import write_whole
from peerdistill.runs import Run


@pytest.fixture
def config():
    return parse(["digits"])[0]


def test_a_run_that_was_created_can_be_read(tmp_path, config):
    run = Run(tmp_path / "a" / "b")
    assert not run.exists
    run.create(config)
    assert run.exists
    run.require()
    assert run.config == config


def test_a_folder_that_is_missing_holds_no_run(tmp_path):
    with pytest.raises(UserError, match=r"^there is no run folder .*/none$"):
        Run(tmp_path / "none").require()


def test_a_folder_of_other_files_holds_no_run(tmp_path):
    for ask in (Run(tmp_path).require, lambda: Run(tmp_path).config):
        with pytest.raises(UserError, match=r"holds no run: config\.yaml is missing$"):
            ask()


def test_new_and_empty_folders_are_free(tmp_path):
    Run(tmp_path / "new").require_free()
    Run(tmp_path).require_free()
    (tmp_path / "config.yaml.writing").touch()  # of a run that was killed before it began
    Run(tmp_path).require_free()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("left", ["checkpoints/previous.pt", "result.json", "metrics.jsonl"])
def test_a_run_is_not_free(tmp_path, config, left):
    Run(tmp_path).create(config)
    (tmp_path / left).parent.mkdir(exist_ok=True)
    (tmp_path / left).write_text("something")
    with pytest.raises(UserError, match="holds a run: continue it with --resume, or choose another folder with --run"):
        Run(tmp_path).require_free()


def begin(folder, config) -> Run:
    """Leave what a process leaves that is killed in its first epoch."""
    run = Run(folder)
    run.create(config)
    of_loggers = ("tensorboard/events.out.tfevents.1.host", "loggers/wandb.json", "loggers/mlflow.json.writing")
    for name in ("environment.json", *of_loggers, "checkpoints/last.pt.writing", ".lock"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("begun")
    return run


def test_a_run_that_nothing_was_trained_of_is_free_and_started_anew(tmp_path, config):
    run = begin(tmp_path / "run", config)
    run.require_free()
    with run.started(config):
        assert [file.name for file in run.path.iterdir() if file.name != ".lock"] == ["config.yaml"]


@pytest.mark.parametrize("other", ["notes.txt", "tensorboard/mine.txt", "checkpoints/model.ckpt"])
@pytest.mark.parametrize("begun", [True, False])
def test_other_files_are_left_alone(tmp_path, config, other, begun):
    if begun:
        begin(tmp_path, config)
    (tmp_path / other).parent.mkdir(exist_ok=True)
    (tmp_path / other).touch()
    for place, found in ((tmp_path, "is in use"), (tmp_path / other, "is a file")):
        with pytest.raises(UserError, match=rf"{found}.*: a run needs a new or empty folder"):
            Run(place).require_free()
    assert (tmp_path / other).exists()


def test_a_configuration_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "config.yaml").write_text("model: {layers: 3}")
    with pytest.raises(UserError, match="unknown option"):
        Run(tmp_path).require_free()


@pytest.mark.parametrize("folder", ["new/run", "empty"])
def test_a_failure_before_anything_was_trained_leaves_the_folder_as_it_was(tmp_path, config, folder):
    (tmp_path / "empty").mkdir()
    before = set(tmp_path.rglob("*"))
    run = Run(tmp_path / folder)

    def fail() -> None:
        run.tensorboard.mkdir()
        (run.tensorboard / "events.out.tfevents.1.host").touch()
        raise UserError("no")

    with pytest.raises(UserError, match="no"), run.started(config):
        fail()
    assert set(tmp_path.rglob("*")) == before


def test_what_was_trained_stays_whatever_fails(tmp_path, config):
    run = Run(tmp_path / "run")

    def fail() -> None:
        (run.path / "checkpoints").mkdir()
        (run.path / "checkpoints" / "last.pt").write_text("weights")
        raise UserError("no")

    with pytest.raises(UserError, match="no"), run.started(config):
        fail()
    assert {file.name for file in run.path.rglob("*")} == {"config.yaml", "checkpoints", "last.pt"}
    assert Run(run.path).exists


def test_one_process_at_a_time_trains_in_a_folder(tmp_path, config):
    first, second = Run(tmp_path / "run"), Run(tmp_path / "run")
    with first.started(config):
        for start in (second.held, lambda: second.started(config)):
            with pytest.raises(UserError, match=r"/run is in use: another process is training there$"), start():
                raise AssertionError
        with pytest.raises(UserError, match="another process is training there"):
            second.require_free()
        first.check_in_place()
        assert second.config == config, "it can be read meanwhile"
    with second.held():
        second.check_in_place()
    assert [file.name for file in first.path.iterdir()] == ["config.yaml"]


def test_without_locks_a_note_says_so(tmp_path, monkeypatch):
    """As on some network file systems."""

    def no_lock(*args):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_lock)
    with (
        pytest.warns(PeerdistillWarning, match="has no locks: make sure that no other process trains there"),
        Run(tmp_path).held(),
    ):
        pass


def gone(folder):
    shutil.rmtree(folder)


def renamed(folder):
    folder.rename(folder.with_name("elsewhere"))


def replaced(folder):
    renamed(folder)
    folder.mkdir()


def emptied(folder):
    (folder / "config.yaml").unlink()


@pytest.mark.parametrize(
    ("happens", "sentence"),
    [
        (gone, "was removed or renamed while it was written to"),
        (renamed, "was removed or renamed while it was written to"),
        (replaced, "was replaced by another folder while it was written to"),
        (emptied, r"config\.yaml was removed while the run was trained"),
    ],
)
def test_a_folder_that_is_taken_away_is_noticed(tmp_path, config, happens, sentence):
    run = Run(tmp_path / "run")
    run.create(config)
    with run.held():
        run.check_in_place()
        happens(run.path)
        with pytest.raises(Failure, match=sentence):
            run.check_in_place()


def test_a_text_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "result.json"
    write_whole(file, "before")

    def crash(descriptor):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(KeyboardInterrupt):
            write_whole(file, "after")
    assert file.read_text() == "before"
    write_whole(file, "after")
    assert file.read_text() == "after"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
