"""The methods of the paper's Table 5 on Omniglot, all with one budget, on two CPU cores.

    python docs/results/table5-omniglot/compare.py DATA RUNS          trains what is missing, in the order below
    python docs/results/table5-omniglot/compare.py DATA RUNS --table  only writes results.md and results.json

DATA is what ``peerdistill fewshot omniglot --root`` takes. A cell that was stopped goes on where it was. The tables lie
beside this file; every leader is tested on the same 1,000 episodes of each column, so differences are paired.
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
import torch

from peerdistill import experiment, fewshot
from peerdistill.experiment import Run

HERE = Path(__file__).parent
EPISODES = 3000
SEEDS = (0, 1)
# The rate is halved five times in a run, as it is in 10,000 episodes of the paper's recipe.
RECIPE = ("--schedule.every", "{every}", "--memory_format", "channels_last", "--log_every", "50")
# OKDDip's weight rises over 80 of 300 epochs; here over the same share of the run's.
RAMP_SHARE = 80 / 300
# 16,384 negatives of each anchor's own, from 82,240 images, would take most of a step on two cores.
MCL_OKD = ("--method", "mcl-okd", "--contrast.negatives", "shared")
TEST_FILE = "table5.npy"

COLUMNS = ("5-way 1-shot", "5-way 5-shot", "20-way 1-shot", "20-way 5-shot")


@dataclass(frozen=True)
class Cell:
    """One row of the table, and the paper's figures for it (none where it has no such row)."""

    label: str
    setting: str
    options: tuple[str, ...]
    paper: tuple[float, ...] | None
    is_taught: bool = False

    def run(self, runs: Path, seed: int) -> Path:
        """Return the folder of one of its runs."""
        return runs / f"{self.label}-{seed}".lower()


BASELINE = Cell("baseline", "one network", ("--method", "baseline", "--peers", "1"), (98.55, 99.56, 95.11, 98.68))
CELLS = (
    BASELINE,
    Cell("MCL-OKD", "branch", (*MCL_OKD, "--sharing", "branch"), (98.68, 99.67, 95.40, 98.75)),
    Cell("CL-ILR", "tree", ("--method", "cl-ilr", "--sharing", "tree"), (98.56, 99.63, 95.08, 98.67)),
    Cell("ONE", "branch", ("--method", "one", "--sharing", "branch"), (98.46, 99.65, 94.85, 98.68)),
    Cell("OKDDip", "branch", ("--method", "okddip", "--sharing", "branch"), (98.55, 99.66, 95.16, 98.68)),
    Cell("RKD-D", "one student", ("--method", "rkd-d"), (98.58, 99.65, 95.45, 98.72), is_taught=True),
    Cell("RKD-DA", "one student", ("--method", "rkd-da"), (98.64, 99.64, 95.52, 98.67), is_taught=True),
    Cell("DML", "branch", ("--method", "dml", "--sharing", "branch"), None),
)


def planned() -> Iterable[tuple[Cell, int]]:
    """Yield every run: the baselines, which teach, then seed 0 of all cells, then the further seeds."""
    yield from ((BASELINE, seed) for seed in SEEDS)
    yield from ((cell, seed) for seed in SEEDS for cell in CELLS if cell is not BASELINE)


def command(cell: Cell, seed: int, data: Path, runs: Path, episodes: int) -> list[str]:
    """Return the command that starts a run, or goes on with it."""
    folder = cell.run(runs, seed)
    start = [str(Path(sys.executable).parent / "peerdistill"), "fewshot"]
    if (folder / "config.yaml").exists():
        return [*start, "--resume", "--run", str(folder)]
    recipe = [word.format(every=max(1, episodes // 5)) for word in RECIPE]
    own = list(cell.options)
    if cell.label == "OKDDip":
        own += ["--ramp", str(round(RAMP_SHARE * episodes / 100))]
    if cell.is_taught:
        # A baseline of another seed: a teacher that started from the student's own weights would be no other network.
        own += ["--teacher", str(BASELINE.run(runs, SEEDS[SEEDS.index(seed) - 1]))]
    place = ["--root", str(data), "--seed", str(seed), "--run", str(folder)]
    return [*start, "omniglot", *recipe, *own, "--episodes", str(episodes), *place]


def train(cell: Cell, seed: int, data: Path, runs: Path, episodes: int) -> None:
    """Train one run to its end."""
    if (cell.run(runs, seed) / "result.json").exists():
        return
    print(cell.label, "seed", seed, flush=True)
    subprocess.run(command(cell, seed, data, runs, episodes), check=True, stdout=subprocess.DEVNULL)


def accuracies(folder: Path) -> np.ndarray:
    """Return the leader's accuracy in percent in every test episode, (columns, episodes), found once for a run."""
    file = folder / TEST_FILE
    if not file.exists():
        run = Run(folder)
        examined = experiment.examine(run, experiment.exam_configs(run, paper=True))
        np.save(file, 100 * np.stack([found.leader.numpy() for found in examined]), allow_pickle=False)
    return np.load(file, allow_pickle=False)


def finished(cell: Cell, runs: Path) -> dict[int, Path]:
    """Return the finished runs of a cell by seed."""
    folders = {seed: cell.run(runs, seed) for seed in SEEDS}
    return {seed: folder for seed, folder in folders.items() if (folder / "result.json").exists()}


def difference(cell: Cell, runs: Path) -> list[tuple[float, float]] | None:
    """Return the paired difference to the baseline over the seeds that both have, with its interval, by column."""
    own, base = finished(cell, runs), finished(BASELINE, runs)
    both = own.keys() & base.keys()
    if not both:
        return None
    apart = np.mean([accuracies(own[seed]) - accuracies(base[seed]) for seed in sorted(both)], axis=0)
    return [fewshot.mean_and_interval(column) for column in torch.from_numpy(apart)]


def write_tables(runs: Path) -> None:
    """Write what is there: accuracies beside the paper's, and differences to the baseline beside the paper's."""
    ours = [_row(("method", "setting", "seeds", *COLUMNS, *(f"paper {column}" for column in COLUMNS))), _rule(11)]
    apart = [_row(("minus baseline", *COLUMNS, *(f"paper {column}" for column in COLUMNS))), _rule(9)]
    everything = {}
    for cell in CELLS:
        folders = finished(cell, runs)
        means = {seed: accuracies(folder).mean(1) for seed, folder in folders.items()}
        found = [_spread([float(mean[column]) for mean in means.values()]) for column in range(len(COLUMNS))]
        paper = [f"{figure:.2f}" for figure in cell.paper] if cell.paper else ["-"] * len(COLUMNS)
        ours.append(_row((cell.label, cell.setting, f"{len(folders)} of {len(SEEDS)}", *found, *paper)))
        differences = difference(cell, runs) if cell is not BASELINE else None
        if differences:
            assert BASELINE.paper
            claimed = zip(cell.paper, BASELINE.paper, strict=True) if cell.paper else ()
            beside = [f"{figure - base:+.2f}" for figure, base in claimed] or ["-"] * len(COLUMNS)
            told = [f"{mean:+.2f} ± {interval:.2f}" for mean, interval in differences]
            apart.append(_row((cell.label, *told, *beside)))
        for seed, folder in folders.items():
            result = json.loads((folder / "result.json").read_text())
            everything[folder.name] = {
                "top1": dict(zip(COLUMNS, means[seed].tolist(), strict=True)),
                "seconds": result["seconds"],
                "episodes": Run(folder).config.episodes.episodes,
            }
    note = (
        "Leaders, last epoch, percent: mean and standard deviation over seeds. Differences are paired: the same "
        "test episodes and training seeds; ± is the 95 % interval over episodes, and says nothing of further seeds.\n"
    )
    (HERE / "results.md").write_text("\n".join([*ours, "", *apart, "", note]))
    (HERE / "results.json").write_text(json.dumps(everything, indent=2) + "\n")


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return _row(["---"] * columns)


def _spread(values: list[float]) -> str:
    if not values:
        return "not run"
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--episodes", type=int, default=EPISODES, help="Training episodes of every run.")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        for cell, seed in planned():
            train(cell, seed, options.data, options.runs, options.episodes)
    write_tables(options.runs)


if __name__ == "__main__":
    main()
