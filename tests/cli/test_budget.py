"""``--budget`` of the commands that train."""

import json
import signal

import pytest
import yaml

from peerdistill.runs import budget as planning
from peerdistill.runs.run import Run
from support.command_line import run
from support.options import few_shot, option_words


def test_a_budget_on_real_digits(tmp_path, monkeypatch):
    """It trains for as long as its budget says, 10 s: nothing of it is replaced. A busy machine needs more."""
    monkeypatch.chdir(tmp_path)
    for seconds in (10, 30, 90):
        words = ("train", "digits", "--backbone", "resnet8", "--budget", f"{seconds}s", "--run", "run")
        outcome = run(*words, "--json")
        if " has no room for one epoch: " not in outcome.stderr:
            break
    assert outcome.code == 0, outcome.stderr
    plan, result = (json.loads((tmp_path / "run" / name).read_text()) for name in ("plan.json", "result.json"))
    assert json.loads(outcome.stdout)["last"]["epoch"] == result["last"]["epoch"] == plan["epochs"] >= 1
    shown = " ".join(outcome.stderr.split())
    assert all(sentence in shown for sentence in plan["reasons"])
    config = Run("run").config
    assert (config.method, config.cohort.peers, config.training.epochs) == (
        plan["method"],
        plan["peers"],
        plan["epochs"],
    )
    assert plan["estimated_seconds"] + plan["reserve_seconds"] <= seconds
    single, peers = plan["measured"].values()
    assert 0 < single["epoch"] < peers["epoch"]
    # On a busy machine the real time may be another; benchmarks/budget.py measures it on a quiet one.
    assert {file.name for file in tmp_path.iterdir()} == {"run"}
    resumed = run(*words, "--resume")
    assert resumed.code == 0, resumed.stderr
    assert Run("run").config == config


@pytest.fixture
def quick(monkeypatch):
    """Measuring takes a moment, whatever the budget is."""
    monkeypatch.setattr(planning, "_MEASURED_S", 0.1)


def test_the_dry_run_shows_the_plan_and_a_file_may_state_the_budget(quick, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("budget: 10m\npeers: 2\nbackbone: resnet8x4\nbatch_size: 8\n")
    outcome = run("train", f"npz:{home}/digits.npz", "--config", "mine.yaml", "--dry_run")
    assert outcome.code == 0, outcome.stderr
    shown = " ".join(outcome.stdout.split())
    assert "10 minutes is time for" in shown
    assert "2 branches (mcl-okd)" in shown
    assert "one network" not in shown  # the peers were chosen
    assert {file.name for file in tmp_path.iterdir()} == {"mine.yaml"}


def test_few_shot(quick, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {name: value for name, value in few_shot().items() if name != "episodes"}
    words = option_words({**options, "episodes_per_epoch": 3})
    outcome = run("fewshot", f"npz:{home}/ten.npz", *words, "--budget", "10m", "--dry_run", "--json")
    assert outcome.code == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert found["options"]["episodes"] == 3 * found["plan"]["epochs"] == found["steps"] > 3


def test_ctrl_c_while_planning(at_home, monkeypatch, tmp_path):
    monkeypatch.setattr(planning, "pace_of", lambda trainer, *args, **how: interrupted(trainer))
    outcome = run("train", "npz:digits.npz", "--budget", "10m", "--run", tmp_path / "run")
    assert outcome.code == 130
    assert "Resume" not in outcome.stdout + outcome.stderr
    assert list(tmp_path.iterdir()) == []


def interrupted(trainer):
    trainer.loggers = []
    trainer.check_folder = lambda: None
    step = trainer._step
    trainer._step = lambda group: (signal.raise_signal(signal.SIGINT), step(group))
    trainer.fit()


def test_the_configuration_of_a_resumed_run_is_complete(at_home):
    outcome = run("train", "--print_config", "--resume", "--run", "runs/digits", "--budget", "2h")
    assert outcome.code == 0, outcome.stderr
    assert yaml.safe_load(outcome.stdout)["epochs"] == Run("runs/digits").config.training.epochs
