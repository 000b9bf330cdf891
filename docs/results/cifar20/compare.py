"""A first comparison of all online methods on a small part of CIFAR-100, on two CPU cores.

    python docs/results/cifar20/compare.py DATA RUNS          trains missing runs, in the order below
    python docs/results/cifar20/compare.py DATA RUNS --table  only writes the table in README.md, and results.json

The last column of the table is read from steps.json, which steps.py writes.

DATA contains ``cifar100_train_1of4.npz``, ``cifar100_train_2of4.npz`` and ``cifar100_test.npz``, arrays in the format
of ``peerdistill train npz:...`` with 125 training images per class each. Every fifth class is used, with 100 training
images per class and all test images. A run that was stopped is resumed.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

HERE = Path(__file__).parent
TRAIN_FILES = ("cifar100_train_1of4.npz", "cifar100_train_2of4.npz")
TEST_FILE = "cifar100_test.npz"
EVERY = 5
IMAGES_A_CLASS = 100
RECIPE = (
    *("--backbone", "resnet20", "--epochs", "100", "--batch_size", "64", "--lr", "0.05", "--validation", "0"),
    *("--precision", "bf16-mixed", "--memory_format", "channels_last", "--log_every", "31"),
)
# OKDDip's weight rises over 80 of 300 epochs; here over the same fraction of 100.
OKDDIP_RAMP = ("--ramp", "27")
# All branches separate at the same place here; by default, those of ONE and OKDDip separate one stage later.
EARLY = ("--branch_at", "early")


@dataclass(frozen=True)
class Cell:
    """One row of the table."""

    label: str
    setting: str
    options: tuple[str, ...]
    seeds: int = 1

    def run(self, runs: Path, seed: int) -> Path:
        """Return the folder of the run with this seed."""
        return runs / f"{self.label}-{self.setting}-{seed}".replace(" ", "-").lower()


CELLS = (
    Cell("single network", "-", ("--method", "baseline", "--peers", "1"), seeds=3),
    Cell("MCL-OKD", "branch", ("--method", "mcl-okd", "--sharing", "branch"), seeds=3),
    Cell("baseline", "branch", ("--method", "baseline", "--sharing", "branch"), seeds=3),
    Cell("CL-ILR", "tree", ("--method", "cl-ilr")),
    Cell("ONE", "branch", ("--method", "one", "--sharing", "branch", *EARLY)),
    Cell("OKDDip", "branch", ("--method", "okddip", "--sharing", "branch", *EARLY, *OKDDIP_RAMP)),
    Cell("baseline", "network", ("--method", "baseline", "--sharing", "network")),
    Cell("DML", "network", ("--method", "dml", "--sharing", "network")),
    Cell("OKDDip", "network", ("--method", "okddip", "--sharing", "network", *OKDDIP_RAMP)),
    Cell("MCL-OKD", "network", ("--method", "mcl-okd", "--sharing", "network")),
)


def planned() -> Iterable[tuple[Cell, int]]:
    """Yield all runs, seed by seed."""
    for seed in range(max(cell.seeds for cell in CELLS)):
        yield from ((cell, seed) for cell in CELLS if seed < cell.seeds)


def prepare(data: Path, runs: Path) -> tuple[Path, Path]:
    """Write the subset to two files and return them."""
    runs.mkdir(parents=True, exist_ok=True)
    train_file, test_file = runs / "train.npz", runs / "test.npz"
    if not (train_file.exists() and test_file.exists()):
        parts = [np.load(data / name) for name in TRAIN_FILES]
        # Each file contains every fourth image: stacking them restores the original order.
        images = np.stack([part["images"].reshape(100, 125, 32, 32, 3) for part in parts], axis=2)
        images = images.reshape(100, 250, 32, 32, 3)[::EVERY, np.arange(IMAGES_A_CLASS) * 250 // IMAGES_A_CLASS]
        names = parts[0]["class_names"][::EVERY]
        np.savez(train_file, images=images.reshape(-1, 32, 32, 3), labels=_labels(len(names)), class_names=names)
        test = np.load(data / TEST_FILE)
        used = test["labels"] % EVERY == 0
        np.savez(test_file, images=test["images"][used], labels=test["labels"][used] // EVERY, class_names=names)
    return train_file, test_file


def _labels(classes: int) -> np.ndarray:
    return np.repeat(np.arange(classes), IMAGES_A_CLASS)


def train(cell: Cell, seed: int, runs: Path, files: tuple[Path, Path]) -> None:
    """Train one run to its end."""
    folder = cell.run(runs, seed)
    if (folder / "result.json").exists():
        return
    command = [str(Path(sys.executable).parent / "peerdistill"), "train"]
    if (folder / "config.yaml").exists():
        command += ["--resume", "--run", str(folder)]
    else:
        command += [f"npz:{files[0]}", "--test", f"npz:{files[1]}", *RECIPE, *cell.options]
        command += ["--seed", str(seed), "--run", str(folder)]
    print(cell.label, cell.setting, "seed", seed, flush=True)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def errors(folder: Path) -> dict[str, float]:
    """Return the test errors of a finished run's last epoch, in percent."""
    found = json.loads((folder / "result.json").read_text())["last"]["test"]
    peers = [100 - peer["top1"] for peer in found["peers"]]
    return {
        "leader": peers[-1],
        "mean peer": statistics.mean(peers),
        "ensemble": 100 - found["ensemble"]["top1"],
    }


def write_table(runs: Path) -> None:
    """Write the Markdown table of the existing runs, and the errors and losses of every run as JSON."""
    head = ("method", "setting", "seeds", "leader", "mean peer", "ensemble", "step / baseline's")
    lines = [f"| {' | '.join(head)} |", "| --- " * len(head) + "|"]
    steps = json.loads((HERE / "steps.json").read_text())["steps"]
    everything = {}
    for cell in CELLS:
        folders = [cell.run(runs, seed) for seed in range(cell.seeds)]
        done = [folder for folder in folders if (folder / "result.json").exists()]
        found = [errors(folder) for folder in done]
        columns = [_spread([error[predictor] for error in found]) for predictor in ("leader", "mean peer", "ensemble")]
        columns.append(f"{steps[f'{cell.label}-{cell.setting}']['over_baseline']:.2f}")
        lines.append(f"| {cell.label} | {cell.setting} | {len(done)} of {cell.seeds} | {' | '.join(columns)} |")
        everything |= {folder.name: record(folder, error) for folder, error in zip(done, found, strict=True)}
    put_table("\n".join(lines))
    runs_as_lines = [f"{json.dumps(name)}: {json.dumps(of_run)}" for name, of_run in everything.items()]
    (HERE / "results.json").write_text("{\n" + ",\n".join(runs_as_lines) + "\n}\n")


def put_table(table: str) -> None:
    """Replace the table in README.md."""
    file = HERE / "README.md"
    before, head, rest = file.read_text().partition("| method |")
    file.write_text(f"{before}{table}{rest[rest.index(chr(10) * 2) :]}" if head else f"{before}\n{table}\n")


def record(folder: Path, error: dict[str, float]) -> dict:
    """Return the record of a run: its configuration without paths of this machine, errors, and losses by epoch."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    files = {name: Path(config[name]).name for name in ("data", "test")}
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    losses = {part: [round(epoch["loss"][part], 4) for epoch in epochs] for part in epochs[-1]["loss"]}
    kept = {name: value for name, value in config.items() if name != "root"} | files
    return {"config": kept, "test_error": error, "loss": losses}


def _spread(values: list[float]) -> str:
    if not values:
        return "not run"
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        files = prepare(options.data, options.runs)
        for cell, seed in planned():
            train(cell, seed, options.runs, files)
    write_table(options.runs)


if __name__ == "__main__":
    main()
