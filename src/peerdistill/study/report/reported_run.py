"""What the folder of a run holds, read once for the report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from peerdistill.config.config import Config
from peerdistill.errors import UserError, reading
from peerdistill.evaluation import Outcomes
from peerdistill.runs.json_file import read_object
from peerdistill.runs.predictions import Predictions, predictions_file, read_predictions
from peerdistill.runs.run import Run, Which
from peerdistill.study.run_names import distinguished
from peerdistill.study.training_time import training_time
from peerdistill.training.metrics import MetricsFile

BENCH_FILE = "bench.json"
"""Name of the file in a run folder that holds what ``peerdistill bench RUN --json`` printed."""

_SPLITS = ("test", "val")


@dataclass(frozen=True, eq=False)
class ReportedRun:
    """A run as the report shows it.

    Attributes:
        run: The run.
        name: Its name in the report: the end of its path that distinguishes it from the other runs.
        which: The checkpoint that is shown.
        split: The evaluation set that is shown: "test" or "val".
        config: Its configuration.
        records: The lines of ``metrics.jsonl``.
        result: The content of ``result.json``; None if training has not ended.
        environment: The content of ``environment.json``, if there is one.
        predictions: What was predicted for every image; None for episodes, and if training has not ended.
        bench: What ``peerdistill bench`` measured, if the folder holds it.
    """

    run: Run
    name: str
    which: Which
    split: str
    config: Config
    records: Sequence[dict[str, Any]]
    result: dict[str, Any] | None
    environment: dict[str, Any] | None
    predictions: Predictions | None
    bench: dict[str, Any] | None

    @property
    def scores(self) -> dict[str, Any] | None:
        """Scores of peers, leader and ensemble on the evaluation set; None if training has not ended."""
        return None if self.result is None else self.result[self.which][self.split]

    @property
    def training_time(self) -> float | None:
        """Seconds by which the cost of its training is compared; None if training has not ended."""
        if self.result is None:
            return None
        device = (self.environment or {}).get("device")
        return training_time(self.result.get("seconds"), self.result.get("cpu_seconds"), device)

    @property
    def peers(self) -> int:
        """Number of peers."""
        return self.config.cohort.peers

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.config.training.seed

    @property
    def evaluated(self) -> str:
        """The evaluation set in words."""
        return {"val": "validation"}.get(self.split, self.split)

    @cached_property
    def outcomes(self) -> dict[str, Outcomes]:
        """Where the leader and, if there are several peers, the ensemble are right and wrong."""
        if self.predictions is None:
            return {}
        found = {"leader": self.predictions.leader, "ensemble": self.predictions.ensemble}
        return {name: self.predictions.outcomes(one) for name, one in found.items() if one is not None}


def read_runs(runs: Sequence[Run], which: Which = "last", split: str | None = None) -> list[ReportedRun]:
    """Read the folders of several runs.

    Args:
        runs: The runs, each once.
        which: The checkpoint to show.
        split: "test" or "val"; by default "test", or "val" if the data have no test images.

    Raises:
        UserError: A folder holds no run, a file is damaged, or a run has no such checkpoint or evaluation set.
    """
    names = distinguished([run.path for run in runs])
    return [_read(run, name, which, split) for run, name in zip(runs, names, strict=True)]


def _read(run: Run, name: str, which: Which, split: str | None) -> ReportedRun:
    config = run.config
    with reading(f"{run.metrics_file} cannot be read"):
        records = MetricsFile(run.metrics_file).read()
    result = read_object(run.result_file)
    if result is not None:
        _check_result(run, result, which)
        split = _split(run, result[which], which, split)
    predictions = None
    if result is not None and split is not None and config.kind == "classes":
        file = predictions_file(run, which, split)
        predictions = read_predictions(file) if file.is_file() else None
    return ReportedRun(
        run,
        name,
        which,
        split or "test",
        config,
        records,
        result,
        read_object(run.environment_file),
        predictions,
        read_object(run.path / BENCH_FILE),
    )


def _check_result(run: Run, result: dict[str, Any], which: Which) -> None:
    if not isinstance(result.get("last"), dict):
        raise UserError(f"{run.result_file} cannot be read: 'last' is missing")
    if not isinstance(result.get(which), dict):
        raise UserError(f"{run.path} has no checkpoint of the best epoch: it had no validation images")


def _split(run: Run, scores: dict[str, Any], which: Which, split: str | None) -> str:
    found = [name for name in _SPLITS if name in scores]
    if split is not None and split not in found:
        raise UserError(f"{run.path} has no {split} split: choose --split {' or '.join(found) or 'of another run'}")
    if not found:
        raise UserError(
            f"{run.result_file} has no scores of the {which} epoch: the data have no test or validation images"
        )
    return split or found[0]
