"""One cell of a record: the result of a run, or the reason why there is none yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from peerdistill.config.kinds import KindName
from peerdistill.config.typed import typed
from peerdistill.errors import UserError, shortened, some_of
from peerdistill.study.training_time import training_time

Status = Literal["finished", "failed", "interrupted", "planned", "no data"]

Figures = Mapping[str, Mapping[str, float | None]]
"""Percentages by column and predictor, one of :data:`PREDICTORS`. The column of a run on classes is "error", that of
its validation images "validation error" if there are no test images; few-shot runs have accuracies, "5-way 1-shot"."""

PREDICTORS = ("leader", "mean peer", "ensemble")
"""Who a figure belongs to. A single network is its own leader and mean peer, and has no ensemble."""


@dataclass(frozen=True)
class CellRecord:
    """A cell of a study and what its run measured.

    Attributes:
        name: Name of the run folder.
        labels: Label of the cell on every axis of the study.
        kind: "classes" or "episodes".
        role: "method", "teacher", "plain", "equal time" or "equal multiply-adds".
        seed: Seed of the training.
        status: How far the run is.
        reason: Why there is no result, in a sentence.
        options: The whole configuration of the run.
        images: A digest of the images of each split, and of their labels; empty if an earlier version trained the run.
        epochs: Epochs that were trained.
        steps: Optimizer steps that were made.
        seconds: Time of the training.
        cpu_seconds: CPU time of the training, of all its processes together.
        multiply_adds: Multiply-adds of the whole training.
        parameters: Trained parameters of "leader", "cohort" and "method".
        machine: Processor, cores, threads and device.
        versions: Version of Python and of every package that results depend on.
        last: Figures of the last epoch.
        best: Figures of the best epoch on validation images; None without validation.
        analyses: Figures by name, for each analysis by name.
    """

    name: str
    labels: Mapping[str, str]
    kind: KindName
    role: str
    seed: int
    status: Status = "planned"
    reason: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    multiply_adds: int | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    last: Figures = field(default_factory=dict)
    best: Figures | None = None
    analyses: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return self.status == "finished"

    @property
    def time(self) -> float | None:
        """Seconds by which its cost is compared; see :func:`training_time`."""
        return training_time(self.seconds, self.cpu_seconds, self.machine.get("device"))

    @property
    def place(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """What distinguishes the cell from others of its record: one run may stand in several places of a table."""
        return self.name, self.role, tuple(sorted(self.labels.items()))

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @classmethod
    def from_dict(cls, values: Any) -> "CellRecord":
        """Return the cell that :meth:`as_dict` describes.

        Raises:
            UserError: A value is missing, unknown or of the wrong type.
        """
        if not isinstance(values, dict):
            raise UserError(f"a cell must be a mapping, found {shortened(values)}")
        if missing := {"name", "labels", "kind", "role", "seed", "status"} - values.keys():
            raise UserError(f"a cell lacks {some_of(sorted(missing))}")
        return typed(values, cls, "a cell")
