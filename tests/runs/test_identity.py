"""Checkpoints, configuration and metrics that do not belong together, or are not all there."""

import json
import shutil

import pytest
import torch
import yaml

from peerdistill import runs
from peerdistill.config import Config
from peerdistill.config.typed import dotted
from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.runs.identity import MAY_CHANGE, decisive_options
from support.console import printed, silent_console


@pytest.fixture
def run(tmp_path, trained) -> Run:
    """A finished run that is free to be changed."""
    shutil.copytree(trained.path, tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.mark.parametrize("recipe", ["cifar", "finetune", "folder", "imagenet"])
def test_decisive_options_are_those_of_a_configuration_file(recipe):
    config = Config.from_dict({"data": "digits", "recipe": recipe, "method": "mcl-okd"})
    read = dotted(yaml.safe_load(config.as_yaml()))
    kept = {name: value for name, value in read.items() if name.partition(".")[0] not in MAY_CHANGE}
    assert {"recipe": "none", **decisive_options(config)} == kept


def edit(run: Run, **changes) -> None:
    values = yaml.safe_load(run.config_file.read_text())
    run.config_file.write_text(yaml.safe_dump({**values, **changes}))


def resumed(run: Run) -> str:
    """Go on with a run and return what was said."""
    console = silent_console()
    runs.train(run.config, run.path, resume=True, console=console)
    return printed(console)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 3}, "seed 0, and .* says 3"),
        ({"batch_size": 16}, "batch_size 32, and .* says 16"),
        ({"epochs": 5}, "epochs 2, and .* says 5"),
        ({"precision": "bf16-mixed"}, "precision 32-true, and .* says bf16-mixed"),
        ({"lr": 0.5}, r"lr 0\.05, and .* says 0\.5"),
        ({"peers": 3}, "peers 2, and .* says 3"),
        ({"optimizer": {"name": "adam"}}, r"optimizer\.\w+ "),
        ({"optimizer": {"momentum": 0.5}}, r"optimizer\.momentum 0\.9, and .* says 0\.5"),
        ({"backbone": "resnet32"}, "backbone resnet8, and .* says resnet32"),
        ({"beta": 0.5}, r"beta 0\.025, and .* says 0\.5"),
    ],
)
def test_an_option_that_was_edited_by_hand_is_named(run, changes, told):
    edit(run, **changes)
    sentence = f"last.pt was trained with {told}.*config.yaml.*|last.pt was trained with {told}"
    for use in (lambda: resumed(run), lambda: runs.restore(run)):
        with pytest.raises(UserError, match=sentence):
            use()


def test_options_that_decide_no_number_may_be_edited(run):
    edit(run, workers=0, log_every=3, device="auto", checkpoint_every=2)
    before = run.metrics_file.read_bytes()
    resumed(run)
    assert run.metrics_file.read_bytes() == before


def test_a_checkpoint_of_another_run_is_refused(run, tmp_path, quick_config, train_quickly):
    other = Run(tmp_path / "other")
    train_quickly(quick_config(seed=1, epochs=1), other.path)
    shutil.copy(other.checkpoints.last, run.checkpoints.last)
    for use in (lambda: resumed(run), lambda: runs.evaluate_run(run)):
        with pytest.raises(UserError, match=r"was trained with epochs 1, and .* says 2: they do not belong together"):
            use()


@pytest.mark.parametrize("part", ["cohort", "method", "optimizer"])
def test_state_of_another_architecture_is_one_sentence(run, part):
    """As of an earlier version, whose checkpoints do not tell their options."""
    state = run.checkpoints.load(run.checkpoints.last)
    del state["notes"]["options"]
    state[part] = {"weight": torch.zeros(3)}
    torch.save(state, run.checkpoints.last)
    with pytest.raises(UserError, match=r"last\.pt contains another network or method than"):
        resumed(run)


@pytest.mark.parametrize("content", [{"weight": torch.zeros(3)}, [1, 2]])
def test_a_file_of_something_else_is_no_checkpoint(run, content):
    torch.save(content, run.checkpoints.last)
    for use in (lambda: runs.restore(run), lambda: runs.evaluate_run(run)):
        with pytest.raises(UserError, match=r"last\.pt is not a checkpoint of a run"):
            use()


def test_metrics_that_are_missing_or_cut_short_are_said(run):
    lines = run.metrics_file.read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    for left, told in ((b"", "is missing or empty"), (lines[0] + lines[1][:20], "has lost")):
        run.metrics_file.write_bytes(left)
        said = resumed(run)
        assert f"{run.metrics_file} {told}" in said
        assert "lines of earlier epochs are gone" in said
        assert run.metrics_file.read_bytes() in (b"", lines[0])


def test_checkpoints_that_are_gone_are_said_and_nothing_is_overwritten(run):
    shutil.rmtree(run.checkpoints.folder)
    before = run.metrics_file.read_bytes()
    with pytest.raises(
        UserError, match=r"last\.pt and the checkpoint before it are missing: .* although 2 epochs were trained"
    ):
        resumed(run)
    assert run.metrics_file.read_bytes() == before
    with pytest.raises(UserError, match="holds a run"):
        run.require_free()


def test_a_best_checkpoint_that_is_gone_is_said(run):
    run.checkpoints.best.unlink()
    assert "there is no checkpoint" in resumed(run)
    assert json.loads(run.result_file.read_text())["best"] is None


def test_another_number_of_threads_is_said(run):
    environment = json.loads(run.environment_file.read_text())
    assert "last bits" not in resumed(run)
    run.environment_file.write_text(json.dumps({**environment, "threads": 77}))
    assert "was started with threads 77 and continues with threads" in resumed(run)
    for broken in ("", "[]", "{}"):
        run.environment_file.write_text(broken)
        assert "last bits" not in resumed(run)
