"""A few-shot comparison: cells are trained by the command line, one after the other, and told in tables.

`compare_fewshot.py` says which cells, from which data, with which options. Every leader is tested on
the same episodes of each column, so differences to the first cell, the baseline, are paired.
"""

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
from peerdistill.fewshot import ExamConfig

_QUICK = "--memory_format channels_last --log_every 50"
NOTE = """
Leaders, last epoch, percent: mean and standard deviation over seeds (of a single seed, in brackets, the 95 % interval
over test episodes). Differences are paired: the same test episodes and training seeds; ± is the 95 % interval over
episodes, and says nothing of further seeds.
"""


@dataclass(frozen=True)
class Cell:
    """One row of the table, and the paper's figures for it (none where it has no such row)."""

    label: str
    setting: str
    options: str
    paper: tuple[float, ...] | None = None
    is_taught: bool = False
    """By a baseline of another seed: a teacher with the student's own first weights would be no other network."""


@dataclass(frozen=True)
class Study:
    """What is compared: cells, of which the first is the baseline, each by every seed."""

    data: str
    """As ``peerdistill fewshot`` names it."""
    episodes: int
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    options: str = ""
    """Options of every run, where they are not the recipe's."""

    @property
    def exams(self) -> tuple[ExamConfig, ...]:
        return fewshot.paper_columns(self.data)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{exam.ways}-way {exam.shots}-shot" for exam in self.exams)

    @property
    def has_paper(self) -> bool:
        return any(cell.paper for cell in self.cells)

    @property
    def baseline(self) -> Cell:
        return self.cells[0]

    def planned(self) -> Iterable[tuple[Cell, int]]:
        """Yield every run: the baselines, which teach, then the first seed of all cells, then the further seeds."""
        yield from ((self.baseline, seed) for seed in self.seeds)
        yield from ((cell, seed) for seed in self.seeds for cell in self.cells[1:])


class Runs:
    """The runs of a study in a folder of their own."""

    def __init__(self, study: Study, place: Path):
        self.study = study
        self.place = place

    def folder(self, cell: Cell, seed: int) -> Path:
        return self.place / f"{cell.label}-{seed}".lower()

    def train(self, cell: Cell, seed: int, data: Path) -> None:
        """Train one run to its end; one that was stopped goes on where it was."""
        if (self.folder(cell, seed) / "result.json").exists():
            return
        print(cell.label, "seed", seed, flush=True)
        subprocess.run(self._command(cell, seed, data), check=True, stdout=subprocess.DEVNULL)

    def _command(self, cell: Cell, seed: int, data: Path) -> list[str]:
        folder = self.folder(cell, seed)
        start = [str(Path(sys.executable).parent / "peerdistill"), "fewshot"]
        if (folder / "config.yaml").exists():
            return [*start, "--resume", "--run", str(folder)]
        options = [*cell.options.split(), *self.study.options.split(), "--episodes", str(self.study.episodes)]
        # The rate is halved five times in a run, as it is in the recipe's 10,000 episodes.
        options += ["--schedule.every", str(max(1, self.study.episodes // 5)), *_QUICK.split()]
        if cell.is_taught:
            others = self.study.seeds
            teacher = self.folder(self.study.baseline, others[others.index(seed) - 1])
            options += ["--teacher", str(teacher)]
        place = ["--root", str(data), "--seed", str(seed), "--run", str(folder)]
        return [*start, self.study.data, *options, *place]

    def finished(self, cell: Cell) -> dict[int, Path]:
        """Return the finished runs of a cell by seed."""
        folders = {seed: self.folder(cell, seed) for seed in self.study.seeds}
        return {seed: folder for seed, folder in folders.items() if (folder / "result.json").exists()}

    def leader(self, folder: Path) -> np.ndarray:
        """Return the leader's accuracy in percent in every test episode, (columns, episodes)."""
        return self._voters(folder)[:, -2]

    def ensemble(self, folder: Path) -> np.ndarray:
        """Return that of the ensemble of all peers."""
        return self._voters(folder)[:, -1]

    def peers(self, folder: Path) -> int:
        """Return the number of peers of a run."""
        return self._voters(folder).shape[1] - 1

    def _voters(self, folder: Path) -> np.ndarray:
        """Return accuracies of all peers and, last, of their ensemble, (columns, voters, episodes), found once."""
        file = folder / "exams.npy"
        if not file.exists():
            examined = experiment.examine(Run(folder), self.study.exams)
            np.save(file, 100 * np.stack([found.accuracy.numpy() for found in examined]), allow_pickle=False)
        return np.load(file, allow_pickle=False)

    def difference(self, cell: Cell) -> list[tuple[float, float]] | None:
        """Return the paired difference to the baseline over the seeds that both have, with its interval, by column."""
        own, base = self.finished(cell), self.finished(self.study.baseline)
        both = sorted(own.keys() & base.keys())
        if not both:
            return None
        apart = np.mean([self.leader(own[seed]) - self.leader(base[seed]) for seed in both], axis=0)
        return [fewshot.mean_and_interval(column) for column in torch.from_numpy(apart)]


def write_tables(runs: Runs, folder: Path) -> None:
    """Write what is there: leaders, differences to the baseline (both beside the paper's figures), ensembles."""
    tables = "\n\n".join([_leaders(runs), _differences(runs), _ensembles(runs)])
    folder.mkdir(exist_ok=True)
    (folder / "results.md").write_text(f"{tables}\n{NOTE}")
    (folder / "results.json").write_text(json.dumps(_everything(runs), indent=2) + "\n")


def _leaders(runs: Runs) -> str:
    study = runs.study
    rows = []
    for cell in study.cells:
        folders = runs.finished(cell)
        minutes = ", ".join(f"{_result(folder)['seconds'] / 60:.0f}" for folder in folders.values())
        figures = _spreads([runs.leader(folder) for folder in folders.values()], study)
        seeds = f"{len(folders)} of {len(study.seeds)}"
        rows.append([cell.label, cell.setting, seeds, minutes or "-", *figures, *_paper(cell.paper, "{:.2f}", study)])
    return _table(["method", "setting", "seeds", "training, min", *study.columns, *_paper_columns(study)], rows)


def _differences(runs: Runs) -> str:
    study = runs.study
    rows = []
    for cell in study.cells[1:]:
        if differences := runs.difference(cell):
            found = [f"{mean:+.2f} ± {interval:.2f}" for mean, interval in differences]
            rows.append([cell.label, *found, *_paper(_above(cell.paper, study.baseline.paper), "{:+.2f}", study)])
    return _table(["leader minus baseline", *study.columns, *_paper_columns(study)], rows)


def _ensembles(runs: Runs) -> str:
    rows = []
    for cell in runs.study.cells:
        folders = [folder for folder in runs.finished(cell).values() if runs.peers(folder) > 1]
        if folders:
            rows.append([cell.label, *_spreads([runs.ensemble(folder) for folder in folders], runs.study)])
    return _table(["ensemble of all peers", *runs.study.columns], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def _spreads(by_seed: list[np.ndarray], study: Study) -> Iterable[str]:
    """Yield what a row says in each column, of accuracies (columns, episodes) by seed."""
    if not by_seed:
        yield from ["not run"] * len(study.columns)
    elif len(by_seed) == 1:
        for column in torch.from_numpy(by_seed[0]):
            mean, interval = fewshot.mean_and_interval(column)
            yield f"{mean:.2f} (± {interval:.2f})"
    else:
        for means in zip(*(accuracies.mean(1) for accuracies in by_seed), strict=True):
            yield f"{statistics.mean(means):.2f} ± {statistics.stdev(means):.2f}"


def _above(figures: tuple[float, ...] | None, base: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if figures is None or base is None:
        return None
    return tuple(figure - of_base for figure, of_base in zip(figures, base, strict=True))


def _paper_columns(study: Study) -> list[str]:
    return [f"paper {column}" for column in study.columns if study.has_paper]


def _paper(figures: tuple[float, ...] | None, form: str, study: Study) -> list[str]:
    """Return what stands in the paper's columns, where there are any."""
    return [form.format(figure) for figure in figures] if figures else ["-"] * len(_paper_columns(study))


def _everything(runs: Runs) -> dict[str, dict]:
    return {
        folder.name: {
            "leader": _by_column(runs.leader(folder), runs.study),
            "ensemble": _by_column(runs.ensemble(folder), runs.study),
            "seconds": _result(folder)["seconds"],
            "episodes": runs.study.episodes,
        }
        for cell in runs.study.cells
        for folder in runs.finished(cell).values()
    }


def _by_column(accuracies: np.ndarray, study: Study) -> dict[str, float]:
    return dict(zip(study.columns, accuracies.mean(1).tolist(), strict=True))
