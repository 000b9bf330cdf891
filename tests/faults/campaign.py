"""Inject faults into trainings at random moments, resume them, and compare them bitwise with one that was left alone.

    python tests/faults/campaign.py --times 20
    python tests/faults/campaign.py --times 20 --fault SIGKILL --every_option
    python tests/faults/campaign.py --times 50 --json docs/results/faults/results.json
    python tests/faults/campaign.py --times 50 --seed 1 --json docs/results/faults/results.json --add

A moment is a delay after the run's first file has appeared, at most until its last file does. A training that ends
before, or that the fault did not impair, does not count. Faults that only root can inject are left out for others.
"""

import argparse
import contextlib
import os
import random
import sys
from collections import Counter
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import machine
import material
import numpy as np
import record
import signals
import torch
from fault import Fault, Outcome, inject
from PIL import Image
from trainings import EVERY_OPTION, PICTURES, WORDS, Forked, Trainings

from peerdistill.runs.environment import describe

FAULTS: dict[str, Fault] = {**signals.FAULTS, **machine.FAULTS, **material.FAULTS}
_MOST_MISSES = 10


def inject_often(name: str, times: int, trainings: Trainings, folder: Path, seed: int) -> list[Outcome]:
    """Inject a fault ``times`` times at different moments and print one line for each."""
    rng, outcomes = random.Random(f"{name} {seed}"), []
    for number in range(_MOST_MISSES * times):
        outcome = inject(FAULTS[name], trainings, folder / f"{name}-{number}", rng)
        if outcome is not None:
            outcomes.append(outcome)
            print(f"{name:<20} after {outcome}", flush=True)
        if len(outcomes) == times:
            break
    return outcomes


def summary(outcomes: list[Outcome], seed: int) -> dict[str, Any]:
    """Return what came of the injections of one fault, and where."""
    found = describe(torch.device("cpu"))
    return {
        "injected": len(outcomes),
        "exit_codes": dict(Counter(str(outcome.code) for outcome in outcomes)),
        "killed_while_writing": sum(outcome.left.partition(", ")[2] != "" for outcome in outcomes),
        "before_the_first_checkpoint": sum(outcome.left.startswith("no step") for outcome in outcomes),
        "told": sorted({outcome.told for outcome in outcomes if outcome.told})[:5],
        "wrong": [asdict(outcome) for outcome in outcomes if outcome.wrong],
        "campaigns": [{"seed": seed, **{name: found[name] for name in ("processor", "cores", "load_average")}}],
    }


def write_pictures(folder: Path) -> None:
    """Write a folder of pictures of noise, and one for their cache."""
    draws = np.random.default_rng(0)
    for number in range(60):
        file = folder / "pictures" / f"class{number % 3}" / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(file)
    (folder / "cache").mkdir()


def absolute(name: str) -> Path:
    """Return the path of a file for a program that changes its working directory."""
    return Path(name).absolute()


def can_inject(fault: Fault) -> bool:
    """Return whether this user can inject a fault."""
    return not fault.needs_root or os.geteuid() == 0


def main() -> None:
    """Print a line for each injection; exit with 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="injections of each fault")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="only this one")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every_option", action="store_true", help="train with all options that are off by default")
    parser.add_argument("--per_class", type=int, help="images of each class; all if left out")
    parser.add_argument("--json", type=absolute, help="file for the record; other faults in it are kept")
    parser.add_argument("--add", action="store_true", help="add to what the record has of a fault, with another seed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    words = (*WORDS, *EVERY_OPTION) if options.every_option else WORDS
    words = (*words, "--subset.per_class", str(options.per_class)) if options.per_class else words
    enough = True
    with TemporaryDirectory() as name, contextlib.chdir(name):
        folder = Path(name)
        write_pictures(folder)
        Forked.import_everything(("train", *words, "--epochs", "1", "--seed", "1", "--run", str(folder / "before")))
        trainings_of = lru_cache(lambda pictures: Trainings(folder / str(pictures), PICTURES if pictures else words))
        for fault in filter(lambda name: can_inject(FAULTS[name]), options.fault or FAULTS):
            trainings = trainings_of(FAULTS[fault].pictures)
            outcomes = inject_often(fault, options.times, trainings, folder, options.seed)
            equal = sum(not outcome.wrong for outcome in outcomes)
            print(f"{fault}: {equal} of {options.times} bitwise equal", flush=True)
            enough = enough and equal == options.times
            if options.json:
                record.write(options.json, fault, summary(outcomes, options.seed), add=options.add)
    sys.exit(not enough)


if __name__ == "__main__":
    main()
