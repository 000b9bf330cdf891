"""Runs on classes, measured by the predictions that they left in their folders. Nothing is evaluated again."""

from collections.abc import Sequence

from peerdistill.errors import UserError
from peerdistill.runs.predictions import Predictions, predictions_file, same_images
from peerdistill.runs.run import Run, Which
from peerdistill.study.comparison.measured import TOP1, Measured, figures_of, result_of


def class_runs(runs: Sequence[Run], which: Which = "last", split: str | None = None) -> list[Measured]:
    """Return runs on classes with their accuracy on every image.

    Args:
        runs: Finished runs on the same evaluation set.
        which: The checkpoint, "last" or "best".
        split: "test" or "val"; by default "test", or "val" if the first run has no test images.

    Raises:
        UserError: A run is not finished or has no such checkpoint or split, or the runs have different images.
    """
    split = _split_of(runs[0], which) if split is None else split
    predictions = [run.predictions(which, split) for run in _with_checkpoint(runs, which)]
    for run, found in zip(runs[1:], predictions[1:], strict=True):
        _check_same_images(runs[0], run, predictions[0], found)
    return [_measured(run, found, which, split) for run, found in zip(runs, predictions, strict=True)]


def _split_of(run: Run, which: Which) -> str:
    return "test" if predictions_file(run, which, "test").is_file() else "val"


def _with_checkpoint(runs: Sequence[Run], which: Which) -> Sequence[Run]:
    for run in runs:
        if result_of(run).get(which) is None:
            raise UserError(f"{run.path} has no {which} epoch on validation images: choose --checkpoint last")
    return runs


def _check_same_images(first: Run, second: Run, ours: Predictions, theirs: Predictions) -> None:
    """Raise UserError if two runs were evaluated on different images, as far as class names, labels and paths tell."""
    if not same_images(ours, theirs):
        raise UserError(
            f"{first.path} and {second.path} cannot be compared: they were evaluated on different images or classes"
        )


def _measured(run: Run, predictions: Predictions, which: Which, split: str) -> Measured:
    correct = 100.0 * (predictions.leader.predicted == predictions.labels)
    result = result_of(run)
    return Measured(run, {TOP1: correct}, {TOP1: figures_of(result[which][split])}, result)
