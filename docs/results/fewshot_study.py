"""The runs of a few-shot comparison, which the command line trains one after the other.

`compare_fewshot.py` defines the cells with their data and options; `fewshot_tables.py` writes the tables. All leaders
are evaluated on the same test episodes, so differences from the first cell, the baseline, are paired.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peerdistill import fewshot, runs
from peerdistill.fewshot import EpisodeSetConfig
from peerdistill.runs import Run

_QUICK = "--memory_format channels_last --log_every 50"


@dataclass(frozen=True)
class Cell:
    """One row of the table, with the paper's figures if the paper has this row."""

    label: str
    setting: str
    options: str
    paper: tuple[float, ...] | None = None
    needs_teacher: bool = False
    """The teacher is the baseline with another seed, so that its initial weights differ from the student's."""

    def run(self, seed: int) -> str:
        """Return the name of the run with this seed."""
        return f"{self.label}-{seed}".lower()


@dataclass(frozen=True)
class Study:
    """The cells to compare, each with every seed; the first cell is the baseline."""

    data: str
    """DATA of ``peerdistill fewshot``."""
    episodes: int
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    options: str = ""
    """Options of all runs that differ from the recipe."""

    @property
    def episode_sets(self) -> tuple[EpisodeSetConfig, ...]:
        return fewshot.paper_columns(self.data)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"{test.ways}-way {test.shots}-shot" for test in self.episode_sets)

    @property
    def has_paper(self) -> bool:
        return any(cell.paper for cell in self.cells)

    @property
    def baseline(self) -> Cell:
        return self.cells[0]

    def planned(self) -> Iterable[tuple[Cell, int]]:
        """Yield all runs: first the baselines, which are the teachers, then the other cells, seed by seed."""
        yield from ((self.baseline, seed) for seed in self.seeds)
        yield from ((cell, seed) for seed in self.seeds for cell in self.cells[1:])


class Runs:
    """The runs of a study in one folder."""

    def __init__(self, study: Study, place: Path):
        self.study = study
        self.place = place

    def folder(self, cell: Cell, seed: int) -> Path:
        return self.place / cell.run(seed)

    def train(self, cell: Cell, seed: int, data: Path) -> None:
        """Train one run to its end. A run that was stopped is resumed."""
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
        # The learning rate is halved five times, as in the 10,000 episodes of the recipe.
        options += ["--schedule.every", str(max(1, self.study.episodes // 5)), *_QUICK.split()]
        if cell.needs_teacher:
            others = self.study.seeds
            teacher = self.folder(self.study.baseline, others[others.index(seed) - 1])
            options += ["--teacher", str(teacher)]
        place = ["--root", str(data), "--seed", str(seed), "--run", str(folder)]
        return [*start, self.study.data, *options, *place]

    def finished(self, cell: Cell) -> dict[int, Path]:
        """Return the finished runs of a cell by seed."""
        folders = {seed: self.folder(cell, seed) for seed in self.study.seeds}
        return {seed: folder for seed, folder in folders.items() if (folder / "result.json").exists()}

    def seconds(self, folder: Path) -> float:
        """Return the seconds of a run's training."""
        return json.loads((folder / "result.json").read_text())["seconds"]

    def leader(self, folder: Path) -> np.ndarray:
        """Return the leader's accuracy in percent in every test episode, (columns, episodes)."""
        return self._accuracies(folder)[:, -2]

    def ensemble(self, folder: Path) -> np.ndarray:
        """Return the accuracy of the ensemble in percent in every test episode, (columns, episodes)."""
        return self._accuracies(folder)[:, -1]

    def peers(self, folder: Path) -> int:
        """Return the number of peers of a run."""
        return self._accuracies(folder).shape[1] - 1

    def _accuracies(self, folder: Path) -> np.ndarray:
        """Return the accuracies of all peers and, last, of their ensemble, (columns, predictors, episodes); cached."""
        file = folder / "test-episodes.npy"
        if not file.exists():
            results = runs.evaluate_episodes(Run(folder), self.study.episode_sets)
            np.save(file, 100 * np.stack([found.accuracy.numpy() for found in results]), allow_pickle=False)
        return np.load(file, allow_pickle=False)
