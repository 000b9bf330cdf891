"""Checkpoints of a run on an evaluation set."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from peerdistill.cohort import Cohort
from peerdistill.data import Dataset
from peerdistill.data.dataset import Split
from peerdistill.errors import PeerdistillWarning, UserError, unknown_name
from peerdistill.evaluation import Alone, ClassEvaluator, ClassReport, Evaluation, Evaluator, Scores
from peerdistill.runs.average import average_of
from peerdistill.runs.build import check_device, check_same_data, has_grown, is_same_split, trained_among
from peerdistill.runs.class_task import class_evaluator
from peerdistill.runs.ensemble import ensemble_of
from peerdistill.runs.other_images import OtherImages, check_shape, given_images_of, images_of
from peerdistill.runs.report import RunReport
from peerdistill.runs.restore import Restored, restore
from peerdistill.runs.run import Run, Which
from peerdistill.runs.task import SPLITS, Task
from peerdistill.terms import MeanEnsemble


@dataclass(frozen=True)
class RunEvaluator:
    """Evaluates checkpoints of a run on one evaluation set, whose images are loaded once.

    Attributes:
        run: The run.
        split: Name of the evaluation set: "test", "val", or "all" for all images of other data.
        device: Where to evaluate.
        evaluator: The evaluation set.
        images: Its images.
        ensemble: Returns the ensemble of a cohort from a checkpoint.
        check: Called with every checkpoint; raises UserError if it does not fit the images.
        task: The task of the run; None if the images are not of its data.
    """

    run: Run
    split: str
    device: torch.device
    evaluator: Evaluator
    images: Split
    ensemble: Callable[[Cohort, dict[str, Any]], nn.Module]
    check: Callable[[Restored], None]
    task: Task | None = None

    def __call__(self, which: Which = "last") -> Evaluation:
        """Return the scores of a checkpoint.

        Raises:
            UserError: The checkpoint does not exist, or the data have changed.
        """
        _, networks = self._restored(which)
        return self.evaluator(*networks)

    def report(self, which: Which = "last", *, average: bool = False) -> RunReport:
        """Return the scores of a checkpoint, and where its leader and its ensemble are right and wrong.

        Args:
            which: The checkpoint.
            average: Also score the average of the peers, see :meth:`average`.

        Raises:
            UserError: As for the scores, and for a run that learns from episodes.
        """
        if not isinstance(self.evaluator, ClassEvaluator):
            raise UserError(f"{self.run.path} is a few-shot run: it has accuracies over episodes, but no fixed classes")
        restored, networks = self._restored(which)
        report = self.evaluator.report(*networks)
        others = {"average": self._average_of(restored)} if average else {}
        return RunReport(which, self.split, report, restored.card.class_names, self.images, others)

    def average(self, which: Which = "last") -> Scores:
        """Return the scores of the average of a checkpoint's peers, see :func:`peerdistill.runs.average_of`.

        Raises:
            UserError: As for the scores; if the peers have different backbones; and if the images are not of the data
                of the run, because the average needs training images.
        """
        restored = restore(self.run, which)
        self.check(restored)
        return self._average_of(restored)

    def _average_of(self, restored: Restored) -> Scores:
        if self.task is None:
            raise UserError(f"the average of the peers needs the training images of {self.run.path}: leave out --data")
        return self.scores_of(average_of(self.run, restored, self.task.data, self.device))

    def report_of(self, network: nn.Module, restored: Restored) -> ClassReport:
        """Return where a network of a checkpoint is right and wrong; it maps normalised images to logits."""
        assert isinstance(self.evaluator, ClassEvaluator)
        self.check(restored)
        return self.evaluator.report(Alone(network), MeanEnsemble()).leader

    def scores_of(self, network: nn.Module) -> Scores:
        """Return the scores of a network that maps normalised images to logits or, for episodes, to features."""
        return self.evaluator(Alone(network), MeanEnsemble()).leader

    def _restored(self, which: Which) -> tuple[Restored, tuple[nn.Module, nn.Module, Mapping[str, nn.Module]]]:
        """Return a checkpoint, and what the evaluator is called with: cohort, ensemble and others on the device."""
        restored = restore(self.run, which)
        self.check(restored)
        others = {name: other.to(self.device) for name, other in restored.others().items()}
        ensemble = self.ensemble(restored.cohort, restored.state).to(self.device)
        return restored, (restored.cohort.to(self.device), ensemble, others)


def evaluator_of(run: Run, split: str | None = None, device: str = "cpu") -> RunEvaluator:
    """Return the evaluator of a run on its own data, or on other data in the place that the run was opened with.

    Args:
        run: The run.
        split: "test" or "val". The default is "test", or "val" with a :class:`PeerdistillWarning` if the data have no
            test images.
        device: Where to evaluate.

    Raises:
        UserError: The run, the split or the device does not exist, or the data are missing.
    """
    if split not in (None, *SPLITS):
        raise unknown_name("split", split, SPLITS)
    check_device(device)
    found = images_of(run, split)
    if isinstance(found, OtherImages):
        return _on_other_images(run, found, torch.device(device))
    return evaluator_of_task(run, found, split, device)


def evaluator_on_given(
    run: Run, data: Any, class_names: Sequence[str] | None = None, device: str = "cpu"
) -> RunEvaluator:
    """Return the evaluator of a run on images in memory, see :func:`peerdistill.runs.other_images.given_images_of`.

    Raises:
        UserError: As there. Also if the device does not exist.
    """
    check_device(device)
    return _on_other_images(run, given_images_of(run, data, class_names), torch.device(device))


def evaluator_of_task(run: Run, task: Task, split: str | None = None, device: str = "cpu") -> RunEvaluator:
    """Return the evaluator of a run on the images of its task.

    Raises:
        UserError: As :func:`evaluator_of`.
    """
    split = chosen_split(run, task.data, split)
    evaluator = task.evaluator(split, torch.device(device))
    if evaluator is None:
        raise no_such_split(run, split)

    def check(restored: Restored) -> None:
        check_evaluable(restored.state["notes"]["data"], task.data, split)
        warn_other_images(restored.state["notes"]["data"], task.data, split)

    return RunEvaluator(
        run, split, torch.device(device), evaluator, getattr(task.data, split), task.ensemble, check, task
    )


def _on_other_images(run: Run, other: OtherImages, device: torch.device) -> RunEvaluator:
    """Return the evaluator on other images, normalised as the images of the run."""
    evaluator = class_evaluator(other.images, other.card, device, getattr(run.config.data, "workers", 0))

    def ensemble(cohort: Cohort, state: dict[str, Any]) -> nn.Module:
        return ensemble_of(run.config, cohort, state)

    def check(restored: Restored) -> None:
        check_shape(other, restored.card)

    return RunEvaluator(run, other.split, device, evaluator, other.images, ensemble, check)


def evaluate_run(run: Run, which: Which = "last", split: str | None = None, device: str = "cpu") -> Evaluation:
    """Return the scores of a checkpoint of a run, see :func:`evaluator_of`."""
    return evaluator_of(run, split, device)(which)


def check_evaluable(before: dict[str, Any], data: Dataset, split: str) -> None:
    """Raise UserError if ``data`` are not the data of the run; warn if pictures were added to its folder."""
    if not has_grown(before, data):
        check_same_data(before, data)
        return
    then, now = before["train_images"], len(data.train)
    text = f"the data has grown: {now} images for training now, {then} then"
    if trained := trained_among(before, getattr(data, split)):
        text += f"; {trained} {split} images are copies of images that the run was trained on"
    warnings.warn(text, PeerdistillWarning, stacklevel=3)


def warn_other_images(before: dict[str, Any], data: Dataset, split: str) -> None:
    """Warn if the images of a split have changed since the run was started."""
    if not is_same_split(before, data, split):
        name = {"val": "validation"}.get(split, split)
        text = f"the {name} images have changed since the run was started"
        warnings.warn(text, PeerdistillWarning, stacklevel=2)


def chosen_split(run: Run, data: Dataset, split: str | None) -> str:
    """Return the split to evaluate on: ``split``; by default "test", or "val" if the data have no test images.

    Raises:
        UserError: ``split`` is None and the data have neither.
    """
    if split is not None:
        return split
    if data.test is not None:
        return "test"
    if data.val is None:
        raise UserError(f"the data of {run.path} has neither test nor validation images to evaluate on")
    text = f"the data of {run.path} has no test split: evaluated on validation images"
    warnings.warn(text, PeerdistillWarning, stacklevel=3)
    return "val"


def no_such_split(run: Run, split: str) -> UserError:
    """Return the error for a split without images."""
    other = next(name for name in SPLITS if name != split)
    return UserError(f"the data of {run.path} has no {split} split: choose --split {other}")
