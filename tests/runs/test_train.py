import csv
import errno
import json
import shutil
import signal
from dataclasses import replace
from importlib import metadata
from operator import attrgetter
from pathlib import Path

import pytest
import torch
import yaml

from peerdistill import files, runs
from peerdistill.config import read_config
from peerdistill.errors import Failure, UserError
from peerdistill.runs import Run
from peerdistill.training import ConsoleLog, Interrupted, MetricsFile
from peerdistill.training.loggers.csv_file import CsvLog
from peerdistill.training.metrics import METRICS_FILE
from support.console import printed, silent_console
from support.digits import write_digits
from support.photos import write_photos


def metrics(path: Path) -> bytes:
    return Run(path).metrics_file.read_bytes()


def weights(path: Path) -> dict[str, bytes]:
    last = torch.load(path / "checkpoints" / "last.pt", weights_only=True)
    state = {**last["cohort"], **last["method"]}
    return {name: value.numpy().tobytes() for name, value in state.items()}


def interrupt_after_first_epoch(monkeypatch) -> None:
    monkeypatch.setattr(ConsoleLog, "epoch", lambda self, record: signal.raise_signal(signal.SIGINT))


@pytest.fixture
def interrupted(tmp_path, quick_config, train_quickly):
    """A run that was stopped in its second epoch."""
    path = tmp_path / "interrupted"
    with pytest.MonkeyPatch.context() as patch:
        interrupt_after_first_epoch(patch)
        with pytest.raises(Interrupted):
            train_quickly(quick_config(), path)
    return path


def test_a_run_is_a_folder(trained):
    names = {file.relative_to(trained.path).as_posix() for file in trained.path.rglob("*") if file.is_file()}
    events = {name for name in names if name.startswith("tensorboard/")}
    assert len(events) == 1
    assert names - events == {
        *("config.yaml", "environment.json", "metrics.jsonl", "result.json"),
        *("checkpoints/best.pt", "checkpoints/last.pt", "checkpoints/previous.pt"),
        *(f"predictions/{which}_{split}.npz" for which in ("last", "best") for split in ("test", "val")),
    }


def test_the_result_tells_both_epochs_on_both_splits(trained):
    result = json.loads(trained.result_file.read_text())
    assert result["last"]["epoch"] == 2
    assert result["best"]["epoch"] in (1, 2)
    for found in (result["last"], result["best"]):
        for split in ("val", "test"):
            assert set(found[split]) == {"samples", "peers", "leader", "ensemble"}
            assert found[split]["leader"] == found[split]["peers"][-1]
    assert result["skipped_pictures"] == 0
    assert result["seconds"] > 0
    assert result["cpu_seconds"] > 0
    assert result["parameters"]["leader"] < result["parameters"]["cohort"]
    lines = [json.loads(line) for line in metrics(trained.path).splitlines()]
    assert result["last"]["val"] == lines[-1]["validation"]
    assert result["best"]["val"] == lines[result["best"]["epoch"] - 1]["validation"]


def test_the_environment_is_told(trained):
    environment = json.loads(trained.environment_file.read_text())
    assert environment["device"] == "cpu"
    assert environment["threads"] == torch.get_num_threads()
    assert environment["packages"]["torch"] == metadata.version("torch")


def test_training_again_from_the_configuration_gives_the_same_numbers(trained, tmp_path, train_quickly, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = train_quickly(read_config(trained.config_file), "again")
    assert metrics(tmp_path / "again") == metrics(trained.path)
    assert weights(tmp_path / "again") == weights(trained.path)
    before = json.loads(trained.result_file.read_text())
    assert {**result, "seconds": 0, "cpu_seconds": 0} == {**before, "seconds": 0, "cpu_seconds": 0}
    assert (tmp_path / "again" / "config.yaml").read_text() == trained.config_file.read_text()


def test_another_seed_gives_other_numbers(trained, tmp_path, quick_config, train_quickly):
    train_quickly(quick_config(seed=1), tmp_path / "other")
    assert metrics(tmp_path / "other") != metrics(trained.path)


def test_without_validation_there_is_no_best_epoch(tmp_path, quick_config, train_quickly):
    result = train_quickly(quick_config(validation=0, method="baseline", peers=1, epochs=1), tmp_path / "run")
    assert result["best"] is None
    assert "val" not in result["last"]
    assert not Run(tmp_path / "run").checkpoints.best.exists()


def test_a_resumed_run_is_the_one_that_was_not_stopped(trained, interrupted, train_quickly):
    assert not Run(interrupted).result_file.exists()
    train_quickly(read_config(interrupted / "config.yaml"), interrupted, resume=True)
    assert metrics(interrupted) == metrics(trained.path)
    assert weights(interrupted) == weights(trained.path)


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "auto"},
        {"workers": 0},
        {"log_every": 1, "checkpoint_every": 1},
        {"loggers": "[csv]"},
        {"root": "elsewhere"},
        {"cache": "off", "cache_gib": 1},
    ],
)
def test_what_does_not_change_the_numbers_may_change(trained, interrupted, train_quickly, quick_config, changes):
    train_quickly(quick_config(**changes), interrupted, resume=True)
    assert metrics(interrupted) == metrics(trained.path)
    assert weights(interrupted) == weights(trained.path)


def test_loggers_that_are_chosen_on_resume_receive_the_whole_run(interrupted, train_quickly, quick_config, monkeypatch):
    received = []
    monkeypatch.setattr(CsvLog, "result", lambda log, result: received.append(result))
    monkeypatch.setattr(CsvLog, "close", lambda log: received.append("closed"))
    result = train_quickly(quick_config(loggers="[csv]"), interrupted, resume=True)
    with (interrupted / "metrics.csv").open(newline="") as file:
        found = [(int(row["epoch"]), float(row["loss.total"])) for row in csv.DictReader(file)]
    assert found == [(line["epoch"], line["loss"]["total"]) for line in MetricsFile(interrupted / METRICS_FILE).read()]
    assert received == [result, "closed"]


def test_a_logger_that_cannot_be_started_leaves_no_folder(tmp_path, quick_config, train_quickly, monkeypatch):
    def refused(log, run):
        raise ConnectionError("no answer")

    monkeypatch.setattr(CsvLog, "__init__", refused)
    with pytest.raises(UserError, match="the logger csv cannot be started: no answer"):
        train_quickly(quick_config(loggers="[tensorboard,csv]"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_cache_does_not_change_the_numbers(tmp_path, quick_config, train_quickly):
    write_photos(tmp_path / "photos", 40, height=40, width=50)
    found = {}
    for name, cache in (("without", "off"), ("empty", tmp_path / "cache"), ("filled", tmp_path / "cache")):
        config = quick_config(tmp_path / "photos", image_size=16, batch_size=8, workers=0, cache=cache)
        train_quickly(config, tmp_path / name)
        found[name] = metrics(tmp_path / name), weights(tmp_path / name)
    assert found["without"] == found["empty"] == found["filled"]
    assert any(file.stat().st_size for file in (tmp_path / "cache").rglob("pixels"))


def written(folder):
    """What says that a file was written since, and not that it was read."""
    states = {file: file.stat() for file in folder.rglob("*")}
    kept = attrgetter("st_ino", "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns")
    return {file: kept(state) for file, state in states.items()}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lr": 0.5}, "was started with lr 0.05, found 0.5: a resumed run keeps its configuration"),
        ({"backbone": "resnet32"}, "was started with backbone resnet8, found resnet32"),
        ({"peers": 3}, "was started with peers 2, found 3"),
        (
            {"epochs": 3},
            r"was started with epochs 2, found 3: its learning-rate schedule was planned for 2\. "
            r"To train further, start a new run from its leader with --weights \S+trained$",
        ),
        ({"seed": 3}, "was started with seed 0, found 3"),
        ({"beta": 0.5}, "was started with beta 0.025, found 0.5"),
        ({"contrast.count": 8}, r"was started with contrast\.count 16, found 8"),
        ({"validation": 0.2}, "was started with validation 0.1, found 0.2"),
        (
            {"data": "digits", "schedule.warmup": 0, "ensemble": 9, "ramp": 27},
            "was trained on the classes 'a', 'b' and 'c', the data has '0', '1'",
        ),
    ],
)
def test_what_decides_the_numbers_must_stay(trained, quick_config, train_quickly, changes, sentence):
    before = written(trained.path)
    with pytest.raises(UserError, match=sentence):
        train_quickly(quick_config(**changes), trained.path, resume=True)
    assert written(trained.path) == before


def test_a_run_that_stops_early_says_so_and_is_finished(tmp_path, quick_config, train_quickly):
    """Without any learning, no epoch is better than the first."""
    config = quick_config(lr=1e-12, epochs=9, patience=2, batch_size=72, method="baseline", peers=1)
    console = silent_console(width=200)
    result = runs.train(config, tmp_path / "run", console=console)
    stopped = result["stopped_early"]
    assert stopped == result["last"]["epoch"] == len(metrics(tmp_path / "run").splitlines()) < 9
    assert result["best"]["epoch"] == stopped - 2
    sentence = f"stopped early after epoch {stopped} of 9: the leader's validation top-1 was not better in the last 2"
    assert sentence in printed(console)
    before = metrics(tmp_path / "run")
    again = train_quickly(config, tmp_path / "run", resume=True)
    assert metrics(tmp_path / "run") == before
    assert {**again, "seconds": None, "cpu_seconds": None} == {**result, "seconds": None, "cpu_seconds": None}


def test_a_run_that_was_not_stopped_early_says_that_too(trained):
    assert json.loads(trained.result_file.read_text())["stopped_early"] is None


def test_patience_without_validation_is_refused(tmp_path, quick_config, train_quickly):
    with pytest.raises(UserError, match="patience 3 needs validation images, and none are held out: set patience to 0"):
        train_quickly(quick_config(patience=3, validation=0), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused(trained, quick_config, train_quickly):
    with pytest.raises(UserError, match="holds a run: continue it with --resume"):
        train_quickly(quick_config(), trained.path)


def test_a_folder_without_a_run_can_not_be_resumed(tmp_path, quick_config, train_quickly):
    with pytest.raises(UserError, match="there is no run folder"):
        train_quickly(quick_config(), tmp_path / "none", resume=True)


def test_resuming_before_the_first_checkpoint_starts_from_the_beginning(trained, tmp_path, quick_config, train_quickly):
    """A process killed in its first epoch leaves a configuration, and perhaps a line of metrics."""
    run = Run(tmp_path / "run")
    run.create(quick_config())
    run.metrics_file.write_text('{"epoch": 1}\n')
    train_quickly(quick_config(), run.path, resume=True)
    assert metrics(run.path) == metrics(trained.path)
    assert weights(run.path) == weights(trained.path)


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_used(trained, interrupted, quick_config):
    last = Run(interrupted).checkpoints.last
    last.write_bytes(last.read_bytes()[:-100])
    console = silent_console(width=40)
    runs.train(quick_config(), interrupted, resume=True, console=console)
    assert f"the checkpoint {last} is damaged: resuming the checkpoint before it" in printed(console)
    assert metrics(interrupted) == metrics(trained.path)
    assert weights(interrupted) == weights(trained.path)


def test_resuming_a_finished_run_changes_no_number(trained, tmp_path, train_quickly):
    shutil.copytree(trained.path, tmp_path / "copy")
    train_quickly(read_config(trained.config_file), tmp_path / "copy", resume=True)
    assert metrics(tmp_path / "copy") == metrics(trained.path)


@pytest.fixture
def with_own_data(tmp_path, trained, digits_file):
    """A finished run and its data, both free to be changed."""
    run, data = Run(tmp_path / "run"), tmp_path / "digits.npz"
    shutil.copytree(trained.path, run.path)
    shutil.copyfile(digits_file, data)
    values = yaml.safe_load(run.config_file.read_text())
    run.config_file.write_text(yaml.safe_dump({**values, "data": f"npz:{data}"}))
    return run, data


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"names": "xyz"}, "was trained on the classes 'a', 'b' and 'c', the data has 'x', 'y' and 'z'"),
        (
            {"classes": 4, "samples": 160},
            "was trained on the classes 'a', 'b' and 'c', the data has 'a', 'b', 'c' and 'd'",
        ),
        ({"samples": 110}, r"was trained on 87 images, the data has \d+ for training"),
        ({"dark": 900}, "the training images have changed since the run was started"),
    ],
)
def test_other_data_are_refused(with_own_data, train_quickly, change, sentence):
    run, data = with_own_data
    runs.evaluate_run(run)
    write_digits(data, **change)
    with pytest.raises(UserError, match=sentence):
        train_quickly(run.config, run.path, resume=True)
    with pytest.raises(UserError, match=sentence):
        runs.evaluate_run(run)


def test_the_result_says_what_was_run(trained):
    result = json.loads(trained.result_file.read_text())
    assert (result["method"], result["seed"]) == ("mcl-okd", 0)
    assert {"recipe": "none", **result["options"]} == yaml.safe_load(trained.config_file.read_text())
    assert result["versions"]["torch"] == metadata.version("torch")


def test_an_epoch_is_written_down_before_it_is_validated(trained, tmp_path, quick_config, train_quickly, monkeypatch):
    """Whatever validation runs into, the epoch is not lost, and its accuracies are the same afterwards."""

    def fail(*args):
        raise Failure("no shared memory")

    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("peerdistill.evaluation.ClassEvaluator.__call__", fail)
        for resume in (False, True):
            with pytest.raises(
                Failure, match=f"^no shared memory; the last good checkpoint is {path}/checkpoints/last.pt"
            ):
                train_quickly(quick_config(), path, resume=resume)
    assert not Run(path).metrics_file.exists()
    train_quickly(quick_config(), path, resume=True)
    assert metrics(path) == metrics(trained.path)
    assert weights(path) == weights(trained.path)


def full_disk_for(name: str):
    """Return what writes files as ever, but finds no room for those of a name."""
    write = files.write_synced

    def full(path, content):
        if path.name.startswith(name):
            path.write_bytes(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    return full


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "last.pt"])
def test_a_full_disk_before_anything_was_trained_leaves_nothing(
    tmp_path, quick_config, train_quickly, monkeypatch, name
):
    for module in ("peerdistill.files", "peerdistill.training.checkpoints"):
        monkeypatch.setattr(f"{module}.write_synced", full_disk_for(name))
    with pytest.raises(Failure, match=rf"/{name} can't be written: no space left on device"):
        train_quickly(quick_config(), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_at_the_end_loses_nothing(trained, tmp_path, quick_config, train_quickly, monkeypatch):
    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("peerdistill.files.write_synced", full_disk_for("result.json"))
        with pytest.raises(Failure, match=r"/result\.json can't be written: no space left on device"):
            train_quickly(quick_config(), path)
    assert not list(path.rglob("*.writing"))
    train_quickly(quick_config(), path, resume=True)
    assert metrics(path) == metrics(trained.path)
    assert Run(path).result_file.exists()


def test_batches_of_one_image_are_refused_with_batch_normalisation(tmp_path, quick_config, train_quickly):
    with pytest.raises(UserError, match=r"^batch_size must be at least 2 for a network with batch normalisation"):
        train_quickly(quick_config(batch_size=1), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_before_all_is_built(tmp_path, quick_config, train_quickly):
    for changes in ({"batch_size": 1000}, {"share_until": "layer9"}, {"temperature": 0}):
        with pytest.raises(UserError):
            train_quickly(quick_config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="a device that is there is no mistake")
def test_a_device_that_is_missing_is_named(tmp_path, quick_config, train_quickly):
    config = quick_config()
    config = replace(config, training=replace(config.training, device="cuda"))
    with pytest.raises(UserError, match="device cuda is not available on this machine: choose cpu"):
        train_quickly(config, tmp_path / "run")
