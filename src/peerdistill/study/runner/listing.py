"""What ``peerdistill reproduce --list`` shows: every cell, how far it is, and how long it will take on this machine."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peerdistill.study.plan import Cell, Study
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.results import extra_cells
from peerdistill.study.runner.data import missing_data
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.reproduce import planned_cell, unique
from peerdistill.study.runner.trials import Trials


@dataclass(frozen=True)
class ListedCell:
    """A cell before it is trained.

    Attributes:
        cell: The cell.
        state: "finished", "interrupted", "planned", "training" (by another process), "no data" or "impossible".
        steps: Optimizer steps of the whole training; None if unknown.
        seconds: Measured time of a finished training, estimated time of another; None if unknown.
        reason: Why it can't be trained.
    """

    cell: Cell
    state: str
    steps: int | None = None
    seconds: float | None = None
    reason: str | None = None

    @property
    def is_left(self) -> bool:
        """Whether it will be trained."""
        return self.state not in ("finished", "no data", "impossible")

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        cell = self.cell
        about = {"name": cell.name, "labels": dict(cell.labels), "role": cell.role, "seed": cell.seed}
        return {**about, "state": self.state, "steps": self.steps, "seconds": self.seconds, "reason": self.reason}


@dataclass(frozen=True)
class Listing:
    """All runs of a study, each once.

    Attributes:
        cells: The cells.
        jobs: Number of trainings at a time.
    """

    cells: tuple[ListedCell, ...]
    jobs: int

    @property
    def left(self) -> list[ListedCell]:
        """The cells that will be trained."""
        return [one for one in self.cells if one.is_left]

    @property
    def steps(self) -> int:
        """Optimizer steps that are left; an interrupted training counts as a whole."""
        return sum(one.steps or 0 for one in self.left)

    @property
    def seconds(self) -> float:
        """Estimated time until all are trained. Several trainings at a time share the cores, as the trials did."""
        return sum(one.seconds or 0.0 for one in self.left) / self.jobs

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        total = {"runs": len(self.cells), "left": len(self.left), "steps": self.steps, "seconds": self.seconds}
        return {"cells": [one.as_dict() for one in self.cells], "total": {**total, "jobs": self.jobs}}


def listing(
    study: Study,
    folders: Folders,
    record: Record | None,
    trials: Trials,
    *,
    jobs: int = 1,
    tell: Callable[[str], object] = str,
) -> Listing:
    """Return how far each run is, and what it will need.

    Args:
        study: The study. The plain networks of equal compute are among its runs, with as many epochs as the estimated
            times give.
        folders: Where the runs are.
        record: Results that are known, maybe of runs that were deleted.
        trials: Measures the configurations that are not trained yet.
        jobs: Number of trainings at a time.
        tell: Called before each trial with what is tried.
    """
    folders.adopt(study.cells)
    lister = _Lister(folders, record, trials, tell)
    found = lister.all(study.cells)
    extra = lister.all(extra_cells(study, _as_if_finished(study, found)))
    return Listing(tuple(found + extra), jobs)


def _as_if_finished(study: Study, found: Sequence[ListedCell]) -> Record:
    """Return the record of a study in which all trainings have taken the estimated time."""
    times = {one.cell.name: one.seconds for one in found}
    cells = (planned_cell(cell, "finished", cpu_seconds=times[cell.name]) for cell in study.cells)
    return Record(study.name, study.scale.name, {}, tuple(cells))


def _finished(cell: Cell, folders: Folders, record: Record | None) -> ListedCell | None:
    known = None if record is None else record.find(cell.name)
    if known is not None and known.finished:
        return _recorded(cell, known)
    if folders.status(cell) != "finished":
        return None
    run = folders.run_of(cell)
    seconds = json.loads(run.result_file.read_text(encoding="utf-8"))["seconds"]
    last = json.loads(run.metrics_file.read_text(encoding="utf-8").splitlines()[-1])
    return ListedCell(cell, "finished", last["step"], seconds)


def _recorded(cell: Cell, known: CellRecord) -> ListedCell:
    return ListedCell(cell, "finished", known.steps, known.seconds)


class _Lister:
    """Returns what is known of cells.

    Args:
        folders: Where the runs are.
        record: Results that are known.
        trials: Measures configurations that are not trained yet.
        tell: Called before each trial.
    """

    def __init__(self, folders: Folders, record: Record | None, trials: Trials, tell: Callable[[str], object]):
        self._folders = folders
        self._record = record
        self._trials = trials
        self._tell = tell

    def all(self, cells: Sequence[Cell]) -> list[ListedCell]:
        """Return what is known of cells, each run once."""
        runs = unique(cells)
        done = {
            cell.name: found for cell in runs if (found := _finished(cell, self._folders, self._record)) is not None
        }
        missing = [cell for cell in runs if cell.name not in done]
        without = missing_data(missing, self._folders.places) if missing else {}
        return [done[cell.name] if cell.name in done else self._missing(cell, without) for cell in runs]

    def _missing(self, cell: Cell, without: Mapping[str, str]) -> ListedCell:
        if cell.dataset in without:
            return ListedCell(cell, "no data", reason=without[cell.dataset])
        if cell not in self._trials:
            self._tell(f"trying {cell.name}")
        found = self._trials.estimate(cell)
        if isinstance(found, str):
            return ListedCell(cell, "impossible", reason=found)
        state = "training" if self._folders.is_taken(cell) else self._folders.status(cell)
        return ListedCell(cell, state, found.steps, found.seconds)
