"""Trainings that faults are injected into, and the comparison with one that was left alone.

Each process is a fork of this one, so modules are imported only once. Results depend on the number of threads: all
processes use one.
"""

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import torch

from peerdistill import cli
from peerdistill.files import WRITING
from peerdistill.training import Checkpoints

CONFIG, RESULT = "config.yaml", "result.json"
"""The first and the last file that training writes."""

_LONGEST_SECONDS = 300.0

WORDS = (
    *("digits", "--backbone", "resnet8", "--peers", "2", "--epochs", "3", "--batch_size", "128"),
    *("--contrast.count", "64", "--checkpoint_every", "3", "--device", "cpu"),
)
PICTURES = (
    *("pictures", "--cache", "cache", "--backbone", "resnet8", "--peers", "2", "--epochs", "3", "--batch_size", "16"),
    *("--image_size", "16", "--workers", "1", "--contrast.count", "16", "--checkpoint_every", "3", "--device", "cpu"),
)
"""The folders are in the working directory."""
EVERY_OPTION = (
    *("--augment", "randaugment", "--color_jitter", "0.3", "--erasing", "0.3", "--sampler", "balanced"),
    *("--mix.mixup", "0.8", "--mix.cutmix", "1", "--label_smoothing", "0.1", "--class_weights", "balanced"),
    *("--optimizer.name", "lion", "--optimizer.layer_decay", "0.8", "--optimizer.new_layers", "3", "--lr", "0.001"),
    *("--accumulate", "3", "--clip_norm", "1", "--ema", "0.9", "--patience", "2", "--loggers", "[tensorboard,csv]"),
)
"""What training can do beside its defaults."""


@dataclass(frozen=True)
class Ended:
    """How a process has ended.

    Attributes:
        code: Exit code, negative if a signal ended it.
        told: What it wrote to stderr.
    """

    code: int | None
    told: str


class Forked:
    """A command line in a forked process.

    Args:
        words: The command line.
        log: File for what it writes to stderr.
        prepare: Called in the new process before the command.
    """

    def __init__(self, words: tuple[str, ...], log: Path, prepare: Callable[[], object] = lambda: None):
        self._log = log
        self.process: ForkProcess = multiprocessing.get_context("fork").Process(target=self._run, args=(words, prepare))
        self.process.start()
        assert self.process.pid is not None
        self.pid: int = self.process.pid

    @staticmethod
    def import_everything(words: tuple[str, ...]) -> None:
        """Run a command line in this process, without output: processes that are forked later need not import."""
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            assert cli.main(list(words)) == 0

    def _run(self, words: tuple[str, ...], prepare: Callable[[], object]) -> None:
        # A shell in the background ignores SIGINT, and nohup SIGHUP: what is ignored would stay so.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.dup2(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        prepare()
        sys.exit(cli.main(list(words)))

    def wait_for(self, file: Path) -> float:
        """Wait until a file exists or the process has ended, and return the time."""
        while not file.exists() and self.process.exitcode is None:
            time.sleep(0.002)
        return time.perf_counter()

    def end(self) -> Ended:
        """Wait for the end of the process."""
        self.process.join(_LONGEST_SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
            return Ended(None, "it did not end")
        return Ended(self.process.exitcode, self._log.read_text(errors="replace"))


class Trainings:
    """Trainings by one command line.

    Args:
        folder: Folder for the run that is left alone.
        words: The command line.

    Attributes:
        seconds: Time that it takes, from its first file to its last.
        expected: What it results in.
    """

    def __init__(self, folder: Path, words: tuple[str, ...]):
        folder.mkdir(parents=True, exist_ok=True)
        self.words = words
        self.reference = folder / "reference"
        process = self.start(self.reference)
        began = process.wait_for(self.reference / CONFIG)
        self.seconds = process.wait_for(self.reference / RESULT) - began
        if (end := process.end()).code != 0:
            raise SystemExit(f"a training that was left alone failed: {end}")
        self.expected = digests(self.reference)

    def start(self, run: Path, prepare: Callable[[], object] = lambda: None) -> Forked:
        """Start a training, or resume it if it has begun."""
        words = ("--resume",) if (run / CONFIG).exists() else self.words
        log = run.parent / f"{run.name}.stderr"
        return Forked(("train", *words, "--run", str(run)), log, prepare)

    def differences(self, run: Path) -> tuple[str, ...]:
        """Return the parts of a run that differ from the one that was left alone."""
        found = digests(run)
        return tuple(name for name in self.expected if found.get(name) != self.expected[name])


def digests(folder: Path) -> dict[str, str]:
    """Return digests of the files of a run, without times and TensorBoard."""
    found = {"metrics": (folder / "metrics.jsonl").read_text()}
    result = json.loads((folder / RESULT).read_text())
    found["result"] = json.dumps({**result, "seconds": None, "cpu_seconds": None})
    for which in ("last", "best"):
        state = torch.load(folder / "checkpoints" / f"{which}.pt", weights_only=True)
        del state["seconds"], state["cpu_seconds"]
        found.update({f"{which} {part}": repr(as_bytes(value)) for part, value in state.items()})
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in found.items()}


def as_bytes(value: Any) -> Any:
    """Return nested values with tensors as their bytes."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {name: as_bytes(item) for name, item in value.items()}
    return [as_bytes(item) for item in value] if isinstance(value, list | tuple) else value


def what_is_left(folder: Path) -> str:
    """Return the step at which the run would resume, and the files that were being written."""
    checkpoints = Checkpoints(folder / "checkpoints")
    state, warning = checkpoints.load_last()
    step = f"step {state['progress']['step']:>2}" if state else "no step"
    half_done = [file.name for file in checkpoints.folder.glob(f"*{WRITING}")] + (["previous"] if warning else [])
    return ", ".join([step, *half_done])
