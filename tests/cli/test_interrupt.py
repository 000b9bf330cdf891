"""Interrupted training: Ctrl-C in a separate process, and the output in this one."""

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from peerdistill import runs
from peerdistill.training import ConsoleLog, Interrupted, MetricsFile

ENTRY = (sys.executable, "-m", "peerdistill")
RUN = "my [first] run"
WORDS = (
    *("train", "broken", "--skip_unreadable", "--run", RUN, "--method", "baseline", "--peers", "1"),
    *("--backbone", "resnet8", "--image_size", "16", "--workers", "2", "--epochs", "15", "--batch_size", "4"),
)


def wait_for(file: Path, process: subprocess.Popen) -> None:
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


LEFT_OUT = "peerdistill: 1 unreadable picture"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_writes_a_checkpoint_and_names_the_command_that_resumes(
    home, tmp_path, monkeypatch, peerdistill, number
):
    """The workers that decode pictures receive the signal too, as from a terminal, systemd or Slurm."""
    monkeypatch.chdir(tmp_path)
    Path("broken").symlink_to(home / "broken")
    run = Path(RUN)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*ENTRY, *WORDS], start_new_session=True, **options)
    wait_for(run / "metrics.jsonl", process)
    os.killpg(process.pid, number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr.count("\n")) == (128 + number, 1)
    assert stderr.startswith(LEFT_OUT)
    assert (run / "checkpoints" / "last.pt").is_file()
    assert not (run / "result.json").exists()

    _, _, command = stdout.rpartition("Resume with: ")
    program, *words = shlex.split(command)
    assert program == "peerdistill"
    if number != signal.SIGINT:  # resuming it once will do
        return
    resumed = peerdistill(*words)
    assert (resumed.code, resumed.stderr.count("\n")) == (0, 1)
    assert resumed.stderr.startswith(LEFT_OUT)
    assert (run / "result.json").is_file()
    assert [line["epoch"] for line in MetricsFile(run / "metrics.jsonl").read()] == list(range(1, 16))


@pytest.fixture
def after_the_first_epoch(monkeypatch):
    """Return a function that calls another one after the first epoch is logged."""

    def call(action):
        monkeypatch.setattr(ConsoleLog, "epoch", lambda log, record: action() if record["epoch"] == 1 else None)

    return call


def test_a_killed_worker_is_one_sentence_with_the_command_that_resumes(
    home, tmp_path, monkeypatch, peerdistill, after_the_first_epoch
):
    monkeypatch.chdir(home)
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.1,))
    after_the_first_epoch(lambda: [worker.kill() for worker in multiprocessing.active_children()])
    run = tmp_path / "run"
    words = f"train divided --run {run} --method baseline --peers 1 --backbone resnet20 --image_size 16 --workers 1"
    outcome = peerdistill(*words.split(), "--epochs", "3", "--batch_size", "4")
    assert outcome.code == 1
    assert outcome.stderr.startswith("peerdistill: a data worker was killed")
    assert outcome.stderr.count("\n") == 1
    assert outcome.stderr.endswith(
        f"the last good checkpoint is {run}/checkpoints/last.pt; resume with: peerdistill train --resume --run {run}\n"
    )
    monkeypatch.undo()
    assert peerdistill(*shlex.split(outcome.stderr.rpartition("resume with: peerdistill ")[2])).code == 0
    assert [line["epoch"] for line in MetricsFile(run / "metrics.jsonl").read()] == [1, 2, 3]


def test_a_moved_run_folder_is_not_created_again(home, tmp_path, peerdistill, after_the_first_epoch):
    run = tmp_path / "run"
    after_the_first_epoch(lambda: run.rename(tmp_path / "moved"))
    words = f"train npz:{home}/digits.npz --run {run} --method baseline --peers 1 --backbone resnet20 --epochs 2"
    outcome = peerdistill(*words.split(), "--batch_size", "16")
    assert outcome.code == 1
    assert outcome.stderr.startswith(f"peerdistill: {run} was removed or renamed while it was written to")
    assert outcome.stderr.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["moved"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("--run", "runs/a"), "peerdistill train --resume --run runs/a"),
        (("--run", "it's mine"), """peerdistill train --resume --run 'it'"'"'s mine'"""),
        (("--skip_unreadable",), "peerdistill train --resume --run runs/digits-mcl-okd-resnet20 --skip_unreadable"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_the_resume_command_can_be_pasted_and_is_kept_out_of_json(monkeypatch, peerdistill, words, command, as_json):
    def stop(*args, **options):
        raise Interrupted

    monkeypatch.setattr(runs, "train", stop)
    outcome = peerdistill("train", "digits", *words, *(["--json"] if as_json else []))
    assert outcome.code == 130
    printed, silent = (outcome.stderr, outcome.stdout) if as_json else (outcome.stdout, outcome.stderr)
    assert printed == f"stopped; a checkpoint was written. Resume with: {command}\n"
    assert silent == ""
