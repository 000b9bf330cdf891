"""A few-shot comparison: cells are trained by the command line, one after the other.

`compare_fewshot.py` says which cells, from which data, with which options; `fewshot_tables.py` tells what came out.
Every leader is tested on the same episodes of each column, so differences to the first cell, the baseline, are paired.
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
    """One row of the table, and the paper's figures for it (none where it has no such row)."""

    label: str
    setting: str
    options: str
    paper: tuple[float, ...] | None = None
    is_taught: bool = False
    """By a baseline of another seed: a teacher with the student's own first weights would be no other network."""

    def run(self, seed: int) -> str:
        """Return the name of one of the cell's runs."""
        return f"{self.label}-{seed}".lower()


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
    def exams(self) -> tuple[EpisodeSetConfig, ...]:
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
        return self.place / cell.run(seed)

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

    def seconds(self, folder: Path) -> float:
        """Return what a run's training took."""
        return json.loads((folder / "result.json").read_text())["seconds"]

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
            examined = runs.evaluate_episodes(Run(folder), self.study.exams)
            np.save(file, 100 * np.stack([found.accuracy.numpy() for found in examined]), allow_pickle=False)
        return np.load(file, allow_pickle=False)
