"""Kill training with every method between two checkpoints, resume it, and compare it bitwise with a run that was never
killed; then evaluate and export it. Everything runs on the command line.

    python tests/faults/every_method.py DIGITS.npz FEW_SHOT.npz

Every method learns to classify digits, and some also learn from episodes of the few-shot file. For each kind, one
process trains a teacher and then forks all others, so modules are imported only once. A run kills itself by SIGKILL,
without a chance to clean up, right after its first checkpoint, two steps into an epoch of four; ``campaign.py`` kills
from outside, at any moment.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from trainings import RESULT, digests, what_is_left

from peerdistill import methods
from peerdistill.cli import main
from peerdistill.training import Checkpoints

COMMON = ("--backbone", "resnet8", "--epochs", "2", "--batch_size", "16", "--device", "cpu", "--checkpoint_every", "2")
EPISODES = (
    *("--ways", "3", "--shots", "1", "--queries", "2", "--episodes", "8", "--episodes_per_epoch", "4"),
    *("--validation.ways", "2", "--validation.queries", "3", "--validation.episodes", "20"),
    *("--test.ways", "2", "--test.queries", "3", "--test.episodes", "20", "--device", "cpu", "--checkpoint_every", "2"),
)
FEW_SHOT = ("baseline", "rkd-da", "one", "mcl-okd")  # a single network, a teacher, a gate, memory banks
PEERS = ("--peers", "3")
FEW_NEGATIVES = ("--contrast.count", "8")


def forked(task: Callable[[], int]) -> int:
    """Run a task in a forked process; return its exit code, negative if a signal ended it."""
    assert threading.active_count() == 1, "a fork would copy locks that other threads hold"
    process = os.fork()
    if process == 0:
        code = 1
        try:
            code = task()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def run(*words: str | Path, output: str | Path = os.devnull) -> int:
    """Run a command line in this process and write its output to a file."""
    with Path(output).open("w") as file, redirect_stdout(file):
        return main([str(word) for word in words])


def check(code: int, expected: int, words: Sequence[str | Path]) -> None:
    """Exit if a command line did not end with the expected code."""
    if code != expected:
        raise SystemExit(f"peerdistill {' '.join(map(str, words))}: exit code {code}, expected {expected}")


def run_and_end(*words: str | Path, output: str | Path = os.devnull) -> None:
    """Run a command line in a forked process."""
    check(forked(lambda: run(*words, output=output)), 0, words)


def train_until_killed(*words: str | Path) -> None:
    """Train in a process that is killed as soon as its first checkpoint is written."""
    save = Checkpoints.save

    def save_and_die(self: Checkpoints, state: dict, *, best: bool = False) -> None:
        save(self, state, best=best)
        os.kill(os.getpid(), signal.SIGKILL)

    def task() -> int:
        Checkpoints.save = save_and_die
        return run(*words)

    check(forked(task), -signal.SIGKILL, words)


def options_for(name: str, teacher: Path) -> list[str | Path]:
    """Return the options that a method needs."""
    options = {option.name for option in methods.options_of(name)}
    return [
        *("--method", name),
        *(("--teacher", teacher) if methods.find(name).needs_teacher else PEERS),
        *(FEW_NEGATIVES if "contrast" in options else ()),
    ]


def differences(words: Sequence[str | Path], folder: Path) -> list[str]:
    """Train, kill, resume, evaluate and export; return the parts that differ from an uninterrupted run."""
    whole, killed = folder / "whole", folder / "killed"
    run_and_end(*words, "--run", whole)
    train_until_killed(*words, "--run", killed)
    left = what_is_left(killed)
    run_and_end(words[0], "--resume", "--run", killed)
    run_and_end("evaluate", killed, "--json", output=folder / "evaluation.json")
    run_and_end("export", killed, "--format", "safetensors")
    expected, found = digests(whole), digests(killed)
    differs = [part for part in expected if found.get(part) != expected[part]]
    evaluation = json.loads((folder / "evaluation.json").read_text())
    last = json.loads((whole / RESULT).read_text())["last"]["test"]
    differs += [f"evaluated {key}" for key in last if not _contains(evaluation[key], last[key])]
    differs += [] if any(killed.glob("*.safetensors")) else ["nothing exported"]
    verdict = f"DIFFERENT: {', '.join(differs)}" if differs else "equal"
    print(f"{folder.parent.name} {folder.name}: killed after {left}, {verdict}", flush=True)
    return differs


def _contains(found: Any, expected: Any) -> bool:
    """Return whether ``found`` is ``expected``; evaluate reports further keys."""
    if isinstance(expected, dict):
        return all(name in found and _contains(found[name], value) for name, value in expected.items())
    return found == expected


def every_method(command: Sequence[str | Path], names: Sequence[str], folder: Path) -> bool:
    """Print one line per method; return whether all are equal."""
    teacher = folder / "teacher"
    alone = (*command, "--method", "baseline", "--peers", "1", "--run", teacher)
    for words in (alone, ("export", teacher, "--format", "safetensors")):
        check(run(*words), 0, words)
    found = [differences([*command, *options_for(name, teacher)], folder / name) for name in names]
    return not any(found)


def both_kinds(digits: Path, few_shot: Path) -> bool:
    """Return whether all runs of both kinds are equal."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        classes = every_method(("train", f"npz:{digits}", *COMMON), methods.names(), folder / "train")
        episodes = every_method(("fewshot", f"npz:{few_shot}", *EPISODES), FEW_SHOT, folder / "fewshot")
    return classes and episodes


if __name__ == "__main__":
    torch.set_num_threads(1)  # the numbers of a run are those of one number of threads
    sys.exit(not both_kinds(*(Path(file).absolute() for file in sys.argv[1:])))
