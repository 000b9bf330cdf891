"""The cells of a study that differ only in their seed, and what is recorded of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from peerdistill.study.plan import Cell, Study
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.results.values import OverSeeds
from peerdistill.study.results.verdicts import Scores

ERRORS = ("error", "validation error")
"""Columns of errors; all other columns are accuracies in episodes."""
_KIND_OF_MACHINE = ("processor", "device", "accelerator")


@dataclass(frozen=True)
class Group:
    """The cells of a study that differ only in their seed.

    Attributes:
        cells: The cells.
        record: The record of the study.
    """

    cells: tuple[Cell, ...]
    record: Record

    @property
    def labels(self) -> Mapping[str, str]:
        """Label on each axis."""
        return self.cells[0].labels

    @property
    def name(self) -> str:
        """Name of its first run, which tells groups apart."""
        return self.cells[0].name

    @property
    def role(self) -> str:
        """Role of the cells."""
        return self.cells[0].role

    @cached_property
    def recorded(self) -> tuple[CellRecord, ...]:
        """What is recorded of the cells, finished or not."""
        found = (self.record.find(cell.name) for cell in self.cells)
        return tuple(one for one in found if one is not None)

    @cached_property
    def finished(self) -> Mapping[int, CellRecord]:
        """Finished cells by seed."""
        return {one.seed: one for one in self.recorded if one.finished}

    @property
    def columns(self) -> tuple[str, ...]:
        """What was measured: "error", or the shapes of the episodes."""
        return tuple(dict.fromkeys(column for one in self.finished.values() for column in one.last))

    def cost(self, name: str) -> OverSeeds | None:
        """Return "time" or "multiply_adds" of the finished cells, with those of their teachers; None if not known."""
        return OverSeeds.of(_sum_of(name, trainings) for trainings in self._trainings)

    @cached_property
    def machines(self) -> frozenset[tuple[Any, ...]]:
        """Kinds of the machines on which the finished cells and their teachers were trained."""
        recorded = (one for trainings in self._trainings for one in trainings if one is not None)
        return frozenset(tuple(one.machine.get(name) for name in _KIND_OF_MACHINE) for one in recorded)

    @cached_property
    def _trainings(self) -> list[list[CellRecord | None]]:
        """Return what is recorded of each finished cell and its teachers."""
        return [list(_with_teachers(cell, self.record)) for cell in self.cells if cell.seed in self.finished]

    def mean_cost(self, name: str) -> float | None:
        """Return the mean of :meth:`cost`."""
        found = self.cost(name)
        return None if found is None else found.mean

    def figures(self, column: str, predictor: str, *, best: bool = False) -> dict[int, float]:
        """Return the figure of a predictor by seed, in percent.

        Args:
            column: What was measured.
            predictor: "leader", "mean peer" or "ensemble".
            best: Take the best epoch on validation instead of the last one.
        """
        of_seed: dict[int, Mapping[str, Mapping[str, Any]] | None] = {
            seed: one.best if best else one.last for seed, one in self.finished.items()
        }
        found = {seed: (figures or {}).get(column, {}).get(predictor) for seed, figures in of_seed.items()}
        return {seed: float(value) for seed, value in found.items() if value is not None}

    @cached_property
    def validation(self) -> Mapping[int, float]:
        """The leader's accuracy on validation images or episodes in the last epoch by seed, in percent, where known."""
        logs = {seed: self.record.log(one.name) for seed, one in self.finished.items()}
        of_leader = {seed: (log[-1].get("validation") or {}).get("leader", {}) for seed, log in logs.items() if log}
        return {seed: scores["top1"] for seed, scores in of_leader.items() if "top1" in scores}

    def scores(self, column: str) -> Scores:
        """Return the leader's accuracy in percent by seed: in every episode if it was kept, else the mean."""
        means = self.figures(column, "leader")
        if column in ERRORS:
            return {seed: np.array([100 - error]) for seed, error in means.items()}
        kept = {seed: self.record.episodes(self.finished[seed].name).get(column) for seed in means}
        return {seed: np.array([means[seed]]) if array is None else array.astype(float) for seed, array in kept.items()}


def _sum_of(name: str, trainings: Sequence[CellRecord | None]) -> float | None:
    """Return a cost of several trainings together; None if that of one is not known."""
    costs = [None if one is None else getattr(one, name) for one in trainings]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None


def _with_teachers(cell: Cell, record: Record) -> Iterator[CellRecord | None]:
    """Yield what is recorded of a training, of that of its teacher and so on."""
    trained: Cell | None = cell
    while trained is not None:
        yield record.find(trained.name)
        trained = trained.teacher


class Groups:
    """The groups of a study. Each is made once, because resolving a configuration takes milliseconds.

    Args:
        study: The study.
        record: What its cells have measured.
    """

    def __init__(self, study: Study, record: Record):
        self.study = study
        self.record = record
        self._plain: dict[str, Group] = {}

    @cached_property
    def methods(self) -> tuple[Group, ...]:
        """The groups that are compared, in the order of the study."""
        return self._with_role("method")

    @cached_property
    def plain(self) -> tuple[Group, ...]:
        """The plain networks that are no groups of their own among those that are compared."""
        return self._with_role("plain")

    def plain_of(self, group: Group) -> Group:
        """Return the plain network with the data, network and training of a group; it may be the group itself."""
        if group.name not in self._plain:
            first = self.study.plain_of(group.cells[0])
            known = (one for one in (*self.plain, *self._plain.values()) if one.name == first.name)
            others = (self.study.plain_of(cell) for cell in group.cells[1:])
            self._plain[group.name] = next(known, None) or Group((first, *others), self.record)
        return self._plain[group.name]

    def with_labels(self, labels: Mapping[str, str]) -> Group | None:
        """Return the compared group with these labels, or None."""
        return next((group for group in self.methods if dict(group.labels) == dict(labels)), None)

    def _with_role(self, role: str) -> tuple[Group, ...]:
        found: dict[Any, list[Cell]] = {}
        for cell in self.study.cells:
            if cell.role == role:  # labels, not digests: every seed of a student has another teacher
                found.setdefault(tuple(sorted(cell.labels.items())), []).append(cell)
        return tuple(Group(tuple(cells), self.record) for cells in found.values())
