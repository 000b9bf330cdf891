"""Kill training at random moments, resume it, and compare it bitwise with a run that was never killed.

    python tests/cli/sigkill.py --moments 20
    python tests/cli/sigkill.py --moments 20 --every_option

A moment is a delay after the run's first file has appeared, at most until its last file does. Each process is a fork of
this one, which has trained once before, so modules are imported only once. Results depend on the number of threads: all
processes use one.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
from contextlib import redirect_stdout
from dataclasses import dataclass
from multiprocessing.context import ForkProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from peerdistill import cli
from peerdistill.training import Checkpoints

WORDS = (
    *("digits", "--backbone", "resnet8", "--peers", "2", "--epochs", "3", "--batch_size", "128"),
    *("--contrast.count", "64", "--checkpoint_every", "3", "--device", "cpu"),
)
EVERY_OPTION = (
    *("--augment", "randaugment", "--color_jitter", "0.3", "--erasing", "0.3", "--sampler", "balanced"),
    *("--mix.mixup", "0.8", "--mix.cutmix", "1", "--label_smoothing", "0.1", "--class_weights", "balanced"),
    *("--optimizer.name", "lion", "--optimizer.layer_decay", "0.8", "--optimizer.new_layers", "3", "--lr", "0.001"),
    *("--accumulate", "3", "--clip_norm", "1", "--ema", "0.9", "--patience", "2", "--loggers", "[tensorboard,csv]"),
)
"""What training can do beside its defaults."""
FIRST, LAST = "config.yaml", "result.json"


@dataclass(frozen=True)
class Moment:
    """A kill and its outcome."""

    seconds: float
    left: str
    differs: tuple[str, ...]

    def __str__(self) -> str:
        verdict = f"DIFFERENT: {', '.join(self.differs)}" if self.differs else "equal"
        return f"{self.seconds:7.3f} s   {self.left:<34} {verdict}"


def train(*words: str) -> int:
    """Train in this process and discard its output."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        return cli.main(["train", *words])


def start(folder: Path, words: tuple[str, ...] = ("--resume",)) -> ForkProcess:
    """Start training in a new process, by default resume it."""
    process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(train(*words, "--run", str(folder))))
    process.start()
    return process


def finish(process: ForkProcess) -> None:
    """Wait for the end of training."""
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"training ended with exit code {process.exitcode}")


def wait_for(file: Path, process: ForkProcess) -> float:
    """Wait until a file of the run exists and return the time."""
    while not file.exists():
        if process.exitcode is not None:
            raise SystemExit(f"training ended with exit code {process.exitcode} before {file.name} was written")
        time.sleep(0.002)
    return time.perf_counter()


def digests(folder: Path) -> dict[str, str]:
    """Return digests of the files of a run, without times and TensorBoard."""
    found = {"metrics": (folder / "metrics.jsonl").read_text()}
    result = json.loads((folder / LAST).read_text())
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
    half_done = [file.name for file in checkpoints.folder.glob("*.writing")] + (["previous"] if warning else [])
    return ", ".join([step, *half_done])


def kill_at(seconds: float, folder: Path, words: tuple[str, ...], expected: dict[str, str]) -> Moment | None:
    """Train, kill, resume and compare; None if training ended before the moment."""
    process = start(folder, words)
    moment = wait_for(folder / FIRST, process) + seconds
    time.sleep(max(0.0, moment - time.perf_counter()))
    process.kill()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        return None
    left = what_is_left(folder)
    finish(start(folder))
    found = digests(folder)
    return Moment(seconds, left, tuple(name for name in expected if found.get(name) != expected[name]))


def kill_at_random_moments(count: int, seed: int, folder: Path, words: tuple[str, ...]) -> list[Moment]:
    """Kill ``count`` runs at different moments and print one line for each."""
    reference = folder / "reference"
    process = start(reference, words)
    began = wait_for(reference / FIRST, process)
    duration = wait_for(reference / LAST, process) - began
    finish(process)
    expected = digests(reference)
    print(f"never killed: {duration:.3f} s from its first file to its last")
    draws, moments = random.Random(seed), []
    for number in range(10 * count):
        moment = kill_at(draws.uniform(0, duration), folder / str(number), words, expected)
        if moment is not None:
            moments.append(moment)
            print(f"killed after {moment}", flush=True)
        if len(moments) == count:
            break
    return moments


def main() -> None:
    """Print the table; exit with 1 if a run differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every_option", action="store_true", help="train with all options that are off by default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        words = (*WORDS, *EVERY_OPTION) if options.every_option else WORDS
        train(*words, "--epochs", "1", "--run", str(Path(folder) / "before"))
        moments = kill_at_random_moments(options.moments, options.seed, Path(folder), words)
    equal = sum(not moment.differs for moment in moments)
    print(f"{equal} of {options.moments} bitwise equal")
    sys.exit(equal != options.moments)


if __name__ == "__main__":
    main()
