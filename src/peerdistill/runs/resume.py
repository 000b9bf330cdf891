"""The checkpoint from which a run is resumed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from peerdistill.config.config import Config
from peerdistill.errors import UserError
from peerdistill.runs.build import check_same_data, is_same_split
from peerdistill.runs.identity import check_belongs, load_into
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task
from peerdistill.training import MetricsFile, Trainer


class Resumable(NamedTuple):
    """A checkpoint from which a run can be resumed."""

    state: dict[str, Any]
    file: Path
    warning: str
    """Why it is not the last one; empty: it is."""


def resumable(run: Run, config: Config) -> Resumable | None:
    """Return the checkpoint from which a run is resumed; None: none was written yet.

    Raises:
        UserError: The checkpoints are damaged or missing, or belong to another run.
    """
    checkpoints = run.checkpoints
    state, warning = checkpoints.load_last()
    if state is not None:
        file = checkpoints.previous if warning else checkpoints.last
        check_belongs(state, file, config, run.config_file)
        return Resumable(state, file, warning)
    epochs = len(MetricsFile(run.metrics_file).read())
    # The line of an epoch is written before its checkpoint.
    if epochs > 1 or run.result_file.exists() or checkpoints.best.exists():
        raise UserError(
            f"{checkpoints.last} and the checkpoint before it are missing: the run cannot be resumed, although "
            f"{epochs} epochs were trained"
        )
    return None


def check_data_of(state: Mapping[str, Any], task: Task) -> None:
    """Raise UserError if training or validation images are not those with which a checkpoint was trained."""
    before = state["notes"]["data"]
    check_same_data(before, task.data)
    if not is_same_split(before, task.data, "val"):
        raise UserError("the validation images, which select the best epoch, have changed since the run was started")


def load_into_trainer(run: Run, trainer: Trainer, state: Mapping[str, Any], file: Path) -> list[str]:
    """Load a checkpoint with its memory banks, in each of several processes, and return warnings.

    If the checkpoint of the best epoch is missing, the best epoch is selected again.

    Raises:
        UserError: It is the state of something else, or a shard of a memory bank is missing or damaged.
    """
    warnings = [load_into(trainer, trainer.shards.completed(state), file)]
    best = run.checkpoints.best
    if trainer.progress.best_epoch and not best.exists():
        trainer.progress.best_top1, trainer.progress.best_epoch = -1.0, 0
        warnings.append(f"there is no checkpoint {best}: the best epoch is selected from the remaining epochs")
    return [warning for warning in warnings if warning]
