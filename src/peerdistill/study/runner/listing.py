"""What ``peerdistill reproduce --list`` shows: every cell, how far it is, and how long it will take on this machine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from peerdistill.study.plan import Cell, Study
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.record.from_run import with_costs
from peerdistill.study.results import extra_cells
from peerdistill.study.runner.data import missing_data
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.reproduce import planned_cell, unique
from peerdistill.study.runner.trials import Estimate, Trials


@dataclass(frozen=True)
class ListedCell:
    """A cell before it is trained.

    Attributes:
        cell: The cell.
        state: "finished", "interrupted", "planned", "training" (by another process), "no data" or "impossible".
        seconds: Measured time of a finished training, estimated time of another; None if unknown.
        record: What its training has cost, or will cost by the estimate; None if unknown.
        reason: Why it can't be trained.
    """

    cell: Cell
    state: str
    seconds: float | None = None
    record: CellRecord | None = None
    reason: str | None = None

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the whole training; None if unknown."""
        return None if self.record is None else self.record.steps

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
            times and the multiply-adds give.
        folders: Where the runs are.
        record: Results that are known, maybe of runs that were deleted.
        trials: Measures the configurations that are not trained yet.
        jobs: Number of trainings at a time.
        tell: Called before each trial with what is tried.
    """
    folders.adopt(study.cells)
    lister = _Lister(folders, record, trials, tell)
    found = lister.all(study.cells)
    if not study.equal_compute:
        return Listing(tuple(found), jobs)
    expected = Record(study.name, study.scale.name, {}, lister.as_if_finished(found))
    extra = lister.all(extra_cells(study, expected))
    return Listing(tuple(found + extra), jobs)


def _finished(cell: Cell, folders: Folders, record: Record | None) -> CellRecord | None:
    known = None if record is None else record.find(cell.name)
    if known is not None and known.finished:
        return known
    if folders.status(cell) != "finished":
        return None
    return with_costs(planned_cell(cell, "finished"), folders.run_of(cell))


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
        done: dict[str, ListedCell] = {}
        for cell in unique(cells):
            known = _finished(cell, self._folders, self._record)
            if known is not None:
                done[cell.name] = ListedCell(cell, "finished", known.seconds, known)
        missing = [cell for cell in unique(cells) if cell.name not in done]
        without = missing_data(missing, self._folders.places) if missing else {}
        return [done.get(cell.name) or self._missing(cell, without) for cell in unique(cells)]

    def as_if_finished(self, found: Sequence[ListedCell]) -> tuple[CellRecord, ...]:
        """Return the records of cells that have all been trained, at the estimated cost, beside those that are known.

        Known plain networks of equal compute are among them: one of almost the right length is used again.
        """
        recorded = () if self._record is None else self._record.cells
        known = tuple(one for one in recorded if one.finished)
        names = {one.name for one in known}
        new = ((one, one.record) for one in found if one.record is not None and one.cell.name not in names)
        return (*known, *(self._counted(one.cell, record) if one.is_left else record for one, record in new))

    def _counted(self, cell: Cell, estimated: CellRecord) -> CellRecord:
        self._tell(f"counting multiply-adds of {cell.name}")
        return replace(estimated, multiply_adds=self._trials.multiply_adds(cell))

    def _missing(self, cell: Cell, without: Mapping[str, str]) -> ListedCell:
        if cell.dataset in without:
            return ListedCell(cell, "no data", reason=without[cell.dataset])
        if cell not in self._trials:
            self._tell(f"trying {cell.name}")
        found = self._trials.estimate(cell)
        if isinstance(found, str):
            return ListedCell(cell, "impossible", reason=found)
        state = "training" if self._folders.is_taken(cell) else self._folders.status(cell)
        return ListedCell(cell, state, found.seconds, _expected(cell, found))


def _expected(cell: Cell, estimate: Estimate) -> CellRecord:
    """Return what will be recorded of the cost of a cell."""
    return planned_cell(
        cell,
        "finished",
        steps=estimate.steps,
        seconds=estimate.training_seconds,
        cpu_seconds=estimate.cpu_seconds,
        machine={"device": estimate.device},
    )
