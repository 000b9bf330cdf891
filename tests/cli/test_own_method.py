"""A user method on the command line."""

import json
import sys
import textwrap
from pathlib import Path

import pytest
import yaml

from support.digits import write_digits

MODULE = '''
    from peerdistill.contrast import ContrastOptions
    from peerdistill.terms import CrossEntropy, EnsembleToLeader, Method, Weighted

    def apart(cohort, train_labels, *, temperature: float = 3.0, taught: bool = True,
              contrast: ContrastOptions = ContrastOptions(count=4)):
        """The leader learns from the ensemble.

        Args:
            cohort: At least two peers.
            train_labels: Not used.
            temperature: Temperature T, 50 % higher than usual.
            taught: Whether the leader learns from it.
            contrast: Not used.
        """
        assert contrast.count == 4
        ensemble = Weighted("ensemble", float(taught), EnsembleToLeader(temperature))
        return Method([Weighted("labels", 1.0, CrossEntropy()), ensemble])

    def clash(cohort, train_labels, *, epochs: int = 1): ...
'''
QUICK = ("npz:digits.npz", "--peers=2", "--backbone=resnet8", "--epochs=1", "--batch_size=16")
TRAIN = ("train", *QUICK, "--method", "mymethods:apart")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    write_digits(tmp_path / "digits.npz", samples=90)
    (tmp_path / "mymethods.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("mymethods", None)


def done(outcome):
    assert outcome.code == 0, outcome.stderr
    return outcome


def test_a_run_from_training_to_export(folder, peerdistill, monkeypatch):
    (folder / "mine.yaml").write_text("temperature: 2.0\ncontrast: {width: 16}\n")
    done(peerdistill(*TRAIN, "--config", "mine.yaml", "--taught", "true"))
    run = "runs/digits-mymethods-apart-resnet8"
    kept = yaml.safe_load(Path(run, "config.yaml").read_text())
    assert (kept["method"], kept["temperature"], kept["taught"]) == ("mymethods:apart", 2.0, True)
    assert (kept["contrast"]["count"], kept["contrast"]["width"]) == (4, 16)
    assert '"ensemble"' in Path(run, "metrics.jsonl").read_text()
    done(peerdistill("train", "--resume", "--run", run))
    assert json.loads(done(peerdistill("evaluate", run, "--json")).stdout)["peers"]
    # The leader is exported where the module is not at hand; what needs the method says what is missing.
    sys.modules.pop("mymethods")
    (folder / "mymethods.py").unlink()
    done(peerdistill("export", run, "--format", "safetensors", "--output", "leader.safetensors"))
    outcome = peerdistill("evaluate", run)
    assert outcome.code == 2
    assert outcome.stderr.count("\n") == 1
    assert "method mymethods:apart: there is no module mymethods in the current folder" in outcome.stderr


def test_options_are_in_the_help_and_on_the_methods_page(folder, peerdistill):
    said = " ".join(done(peerdistill(*TRAIN, "--help")).stdout.split())
    assert "--temperature" in said
    assert "Temperature T, 50 % higher than usual." in said
    assert "package.module:function" in said
    shown = " ".join(done(peerdistill("methods", "mymethods:apart")).stdout.split())
    assert "--temperature 3.0 Temperature T, 50 % higher than usual." in shown


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--method", "mymethods:nobody"), "method mymethods:nobody: mymethods has no function 'nobody'"),
        (
            ("--method", "nowhere.at.all:apart"),
            "nowhere.at.all:apart: there is no module nowhere in the current folder",
        ),
        (("--method", "mymethods:clash"), "mymethods:clash has an option 'epochs', which is an option of every method"),
        (("--method", "mymethods:apart", "--temperatur", "1"), "did you mean --temperature"),
        (("--method", "mymethods:apart", "--temperature", "hot"), "temperature must be a number, found hot"),
    ],
)
def test_an_error_is_one_sentence(folder, peerdistill, words, sentence):
    outcome = peerdistill("train", *QUICK, *words)
    assert outcome.code == 2
    assert outcome.stderr.count("\n") == 1
    assert sentence in outcome.stderr
    assert not Path("runs").exists()
