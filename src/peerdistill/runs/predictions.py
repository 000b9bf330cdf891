"""The predictions of a finished run on its evaluation sets, as files in the run folder.

Axes: N images, C classes.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32, Int32, Int64
from torch import nn

from peerdistill.data.dataset import ArraySplit
from peerdistill.errors import UserError, reading
from peerdistill.evaluation import ClassEvaluator, ClassReport, Evaluation, Evaluator, KeptOutcomes
from peerdistill.files import drafting, publish, write_synced
from peerdistill.runs.report import RunReport
from peerdistill.runs.run import Run, Which
from peerdistill.runs.task import Task

PREDICTIONS = "predictions"
"""Folder of the files in a run folder."""

MOST_LOGITS = 10_000_000
"""Files hold the logits of up to this many pairs of image and class: 20 MB per predictor."""

_PREDICTORS = ("leader", "ensemble")


@dataclass(frozen=True, eq=False)
class Predicted:
    """What one predictor predicts for the images of an evaluation set.

    Attributes:
        predicted: Predicted class of every image.
        probability: Probability of that class, 0..1.
        logits: Class logits of every image; None if the file would be too large.
    """

    predicted: Int32[np.ndarray, " images"]
    probability: Float32[np.ndarray, " images"]
    logits: Float16[np.ndarray, "images classes"] | None


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of a checkpoint of a run on one evaluation set.

    Attributes:
        class_names: Name of every class.
        labels: True class of every image.
        paths: Path of every image; None for images that were arrays.
        leader: What the leader predicts.
        ensemble: What the ensemble predicts; None if there is only one peer.
    """

    class_names: tuple[str, ...]
    labels: Int32[np.ndarray, " images"]
    paths: tuple[str, ...] | None
    leader: Predicted
    ensemble: Predicted | None

    def outcomes(self, predictor: Predicted) -> KeptOutcomes:
        """Return where a predictor is right and wrong: rates of every class, calibration, mistakes."""
        labels, predicted = (values.astype(np.int64) for values in (self.labels, predictor.predicted))
        return KeptOutcomes(labels, predicted, predictor.probability, len(self.class_names))

    def confusion(self, predictor: Predicted) -> Int64[np.ndarray, "classes classes"]:
        """Return the number of images by true class (rows) and predicted class (columns)."""
        from sklearn.metrics import confusion_matrix

        return confusion_matrix(self.labels, predictor.predicted, labels=range(len(self.class_names)))


def same_images(first: Predictions, second: Predictions) -> bool:
    """Return whether two runs were evaluated on the same images, as far as class names, labels and paths tell."""
    return (
        first.class_names == second.class_names
        and np.array_equal(first.labels, second.labels)
        and (first.paths is None or second.paths is None or first.paths == second.paths)
    )


def predictions_file(run: Run, which: Which, split: str) -> Path:
    """Return the file of the predictions of a checkpoint on the split "test" or "val"."""
    return run.path / PREDICTIONS / f"{which}_{split}.npz"


def evaluate_and_keep(
    run: Run,
    task: Task,
    evaluator: Evaluator,
    networks: tuple[nn.Module, nn.Module, Mapping[str, nn.Module]],
    which: Which,
    split: str,
) -> Evaluation:
    """Return the scores on an evaluation set, and write the predictions into the run folder, from one pass over it.

    Nothing is written for episodes, which have no fixed classes.

    Args:
        run: The run.
        task: Its task.
        evaluator: Evaluates on this set.
        networks: What the evaluator is called with.
        which: The checkpoint whose weights the networks have.
        split: Name of the set.

    Raises:
        WriteError: The file cannot be written.
    """
    if not isinstance(evaluator, ClassEvaluator):
        return evaluator(*networks)
    report = evaluator.report(*networks)
    found = RunReport(which, split, report, task.data.class_names, getattr(task.data, split))
    write_predictions(found, predictions_file(run, which, split))
    return report.evaluation


def write_predictions(report: RunReport, file: Path) -> None:
    """Write predictions as an ``.npz`` file that :func:`read_predictions` and ``numpy.load`` read.

    Raises:
        WriteError: The file cannot be written.
    """
    leader = report.report.leader
    arrays: dict[str, Any] = {"class_names": np.array(report.class_names), "labels": _int32(leader.labels)}
    if not isinstance(report.images, ArraySplit):
        arrays["paths"] = np.array(report.images.paths)
    for name, predictor in report.predictors.items():
        arrays |= {f"{name}_{part}": values for part, values in _arrays_of(predictor).items()}
    with drafting(file) as draft:
        file.parent.mkdir(exist_ok=True)
        write_synced(draft, lambda opened: np.savez_compressed(opened, **arrays))
        publish(draft, file)


def _arrays_of(report: ClassReport) -> dict[str, np.ndarray]:
    found = {"predicted": _int32(report.predicted), "probability": report.probabilities}
    if report.logits.size <= MOST_LOGITS:
        with np.errstate(over="ignore"):
            found["logits"] = report.logits.astype(np.float16)
    return found


def _int32(values: np.ndarray) -> np.ndarray:
    return values.astype(np.int32)


def read_predictions(file: Path) -> Predictions:
    """Return the predictions in a file.

    Raises:
        UserError: The file is missing or damaged.

    Example:
        .. code-block:: python

            found = read_predictions(Path("runs/photos/predictions/best_test.npz"))
            wrong = found.labels != found.leader.predicted
    """
    if not file.is_file():
        raise UserError(
            f"there are no predictions {file}: they are written when training has ended, for test and validation images"
        )
    with reading(f"the predictions {file} cannot be read"), np.load(file, allow_pickle=False) as archive:
        arrays = dict(archive)
        leader, ensemble = (_predicted(arrays, name) for name in _PREDICTORS)
        if leader is None:
            raise zipfile.BadZipFile("the leader is missing")
        return Predictions(
            class_names=tuple(arrays["class_names"].tolist()),
            labels=arrays["labels"],
            paths=tuple(arrays["paths"].tolist()) if "paths" in arrays else None,
            leader=leader,
            ensemble=ensemble,
        )


def _predicted(arrays: dict[str, np.ndarray], name: str) -> Predicted | None:
    if f"{name}_predicted" not in arrays:
        return None
    return Predicted(arrays[f"{name}_predicted"], arrays[f"{name}_probability"], arrays.get(f"{name}_logits"))
