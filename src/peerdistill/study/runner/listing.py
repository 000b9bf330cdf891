"""What ``peerdistill reproduce --list`` shows: every cell, how far it is, and how long it will take on this machine."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from peerdistill.study.plan import Cell
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.runner.data import missing_data
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.reproduce import unique
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
    cells: Sequence[Cell],
    folders: Folders,
    record: Record | None,
    trials: Trials,
    *,
    jobs: int = 1,
    tell: Callable[[str], object] = str,
) -> Listing:
    """Return how far each run is, and what it will need.

    Args:
        cells: Cells of a study.
        folders: Where the runs are.
        record: Results that are known, maybe of runs that were deleted.
        trials: Measures the configurations that are not trained yet.
        jobs: Number of trainings at a time.
        tell: Called before each trial with what is tried.
    """
    folders.adopt(cells)
    runs = unique(cells)
    done = {cell.name: found for cell in runs if (found := _finished(cell, folders, record)) is not None}
    missing = [cell for cell in runs if cell.name not in done]
    without = missing_data(missing, folders.places) if missing else {}
    lister = _Lister(folders, trials, without, tell)
    return Listing(tuple(done[cell.name] if cell.name in done else lister(cell) for cell in runs), jobs)


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


@dataclass
class _Lister:
    """Returns what is known of a cell that is not finished."""

    folders: Folders
    trials: Trials
    without: dict[str, str]
    tell: Callable[[str], object]

    def __call__(self, cell: Cell) -> ListedCell:
        if cell.dataset in self.without:
            return ListedCell(cell, "no data", reason=self.without[cell.dataset])
        if cell not in self.trials:
            self.tell(f"trying {cell.name}")
        found = self.trials.estimate(cell)
        if isinstance(found, str):
            return ListedCell(cell, "impossible", reason=found)
        state = "training" if self.folders.is_taken(cell) else self.folders.status(cell)
        return ListedCell(cell, state, found.steps, found.seconds)
