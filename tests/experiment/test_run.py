import os

import pytest

from peerdistill.errors import UserError
from peerdistill.experiment import Run, parse
from peerdistill.experiment.run import write_whole


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


def test_a_run_is_not_free(tmp_path, config):
    Run(tmp_path).create(config)
    with pytest.raises(UserError, match="holds a run: go on with --resume, or choose another folder by --run"):
        Run(tmp_path).require_free()


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").touch()
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UserError, match="is in use: a run needs a new or empty folder"):
            Run(place).require_free()


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
