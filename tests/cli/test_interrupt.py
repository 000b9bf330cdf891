"""Ctrl-C, in a process of its own and, for what is printed, in this one."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from peerdistill import experiment
from peerdistill.training import Interrupted, MetricsFile

ENTRY = (sys.executable, "-c", "from peerdistill.cli import entry; entry()")
RUN = "my [first] run"
WORDS = (
    *("train", "broken", "--skip_unreadable", "--run", RUN, "--method", "baseline", "--peers", "1"),
    *("--backbone", "resnet20", "--image_size", "16", "--workers", "2", "--epochs", "40", "--batch_size", "4"),
)


def wait_for(file: Path, process: subprocess.Popen) -> None:
    while not file.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_ctrl_c_writes_a_checkpoint_and_names_the_command_that_resumes(home, tmp_path, monkeypatch):
    """As in a terminal, the workers that decode pictures get the signal as well."""
    monkeypatch.chdir(tmp_path)
    Path("broken").symlink_to(home / "broken")
    run = Path(RUN)
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen([*ENTRY, *WORDS], start_new_session=True, **options)
    wait_for(run / "metrics.jsonl", process)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "")
    assert (run / "checkpoints" / "last.pt").is_file()
    assert not (run / "result.json").exists()

    _, _, command = stdout.rpartition("Go on with: ")
    program, *words = shlex.split(command)
    assert program == "peerdistill"
    resumed = subprocess.run([*ENTRY, *words], check=False, timeout=120, **options)
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert (run / "result.json").is_file()
    assert [line["epoch"] for line in MetricsFile(run / "metrics.jsonl").read()] == list(range(1, 41))


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (("--run", "runs/a"), "peerdistill train --resume --run runs/a"),
        (("--run", "it's mine"), """peerdistill train --resume --run 'it'"'"'s mine'"""),
        (("--skip_unreadable",), "peerdistill train --resume --run runs/digits-mcl-okd-resnet20 --skip_unreadable"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_can_be_pasted_and_leaves_json_alone(monkeypatch, peerdistill, words, command, as_json):
    def stop(*args, **options):
        raise Interrupted

    monkeypatch.setattr(experiment, "train", stop)
    outcome = peerdistill("train", "digits", *words, *(["--json"] if as_json else []))
    assert outcome.code == 130
    told, silent = (outcome.stderr, outcome.stdout) if as_json else (outcome.stdout, outcome.stderr)
    assert told == f"stopped; a checkpoint was written. Go on with: {command}\n"
    assert silent == ""
