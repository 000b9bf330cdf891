import sys
import textwrap

import pytest

from peerdistill.errors import UserError
from peerdistill.training import LoggedRun, Logger, TrainingConfig, loggers
from support.command_line import run

ABSENT = """
    from peerdistill.training.loggers.logger import Logger, LoggerKind

    LOGGER = LoggerKind("absent", "not there", open=Logger, package="no_such_package", install="no-such-package")
"""


@pytest.fixture
def absent(tmp_path, monkeypatch):
    """A file of a logger, in a folder outside the package, whose library is not installed."""
    (tmp_path / "absent.py").write_text(textwrap.dedent(ABSENT))
    monkeypatch.setattr(loggers, "__path__", [*loggers.__path__, str(tmp_path)])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("peerdistill.training.loggers.absent", None)


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Loggers of the user's own code."""
    (tmp_path / "mylogs.py").write_text(
        "def broken(run):\n    raise OSError(5, 'Disk Error')\n\nnumber = 3\nnone = print\n"
    )
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("mylogs", None)


def test_the_loggers_of_the_package():
    assert list(loggers.discover()) == ["csv", "mlflow", "tensorboard", "trackio", "wandb"]


def test_a_logger_whose_package_is_missing_is_one_sentence_and_nothing_is_written(absent, monkeypatch):
    (absent / "no_such_package").mkdir()  # such as the folder that W&B writes: it is no package
    monkeypatch.chdir(absent)
    outcome = run("train", "digits", "--loggers", "[csv,absent]", "--run", "run")
    assert outcome.code == 2
    text = "the logger absent needs the package no_such_package, which is not installed: pip install no-such-package\n"
    assert outcome.stderr == f"peerdistill: {text}"
    assert not (absent / "run").exists()


def test_a_file_adds_a_logger_to_the_help(absent):
    assert "absent (not there)" in " ".join(run("train", "--help").stdout.split())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tensorbord"], r"unknown logger 'tensorbord': did you mean tensorboard\?"),
        (["csv", "csv"], "loggers names csv twice"),
        (["mylogs:number"], "must be a class that is called with a LoggedRun, found a int"),
        (["mylogs:missing"], "found nothing"),
    ],
)
def test_wrong_names(mine, names, message):
    with pytest.raises(UserError, match=message):
        TrainingConfig(loggers=names).check()


def test_a_logger_that_cannot_be_started_is_one_sentence(mine, tmp_path):
    with pytest.raises(UserError, match="the logger mylogs:broken cannot be started: disk error"):
        loggers.open_loggers(["csv", "mylogs:broken"], LoggedRun(tmp_path, {}))
    with pytest.raises(UserError, match=r"mylogs:none must be a peerdistill.training.Logger, found a NoneType"):
        loggers.open_loggers(["mylogs:none"], LoggedRun(tmp_path, {}))


def test_loggers_are_structural(tmp_path):
    class Complete:
        def advance(self, step): ...
        def step(self, reading): ...
        def epoch(self, record): ...
        def result(self, result): ...
        def close(self): ...

    assert isinstance(Complete(), Logger)
