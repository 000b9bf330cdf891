"""Export of the leader of a run as one file."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from peerdistill import deploy
from peerdistill.deploy import ExportReport, Format
from peerdistill.errors import UserError
from peerdistill.evaluation import calibrated_temperature
from peerdistill.runs.evaluate import evaluator_of_task
from peerdistill.runs.restore import restore
from peerdistill.runs.run import Run, Which
from peerdistill.runs.samples import calibration_pictures, sample_pictures
from peerdistill.runs.task import Task
from peerdistill.runs.tasks import load_task_of


@dataclass(frozen=True)
class RunExport:
    """An exported leader.

    Attributes:
        report: The report of the file and its verification.
        epoch: Number of epochs that the leader was trained.
        split: Split of the pictures on which the file was verified.
        calibrated_on: Number of training pictures that calibrated the ranges of an int8 file.
        calibration: How the probabilities were calibrated; None: they were not.
    """

    report: ExportReport
    epoch: int
    split: str
    calibrated_on: int
    calibration: "Calibration | None" = None

    @property
    def summary(self) -> str:
        """The verification as a sentence."""
        calibrated = f"calibrated on {self.calibrated_on} training pictures; " if self.calibrated_on else ""
        return f"{calibrated}checked on {self.report.samples} {self.split} pictures: {self.report.summary}"

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for JSON; the calibration is a further key if there is one."""
        found = self.report.as_dict()
        return found if self.calibration is None else {**found, "calibration": asdict(self.calibration)}


@dataclass(frozen=True)
class Calibration:
    """Calibrated probabilities of a leader.

    Attributes:
        temperature: The logits are divided by it.
        images: Number of validation images that it was fitted on.
        ece_before: Expected calibration error on these images without it, 0..1.
        ece_after: Expected calibration error on these images with it, 0..1.
    """

    temperature: float
    images: int
    ece_before: float
    ece_after: float

    @property
    def summary(self) -> str:
        """The calibration as a sentence."""
        errors = f"{self.ece_before:.2%} before, {self.ece_after:.2%} after"
        return f"temperature {self.temperature:.4f}; calibration error on {self.images} validation pictures: {errors}"


def export(
    run: Run, format: Format, output: Path, *, which: Which = "last", force: bool = False, calibrate: bool = False
) -> RunExport:
    """Write the leader of a run as one file, and verify the file on pictures of the run.

    Args:
        run: The run; its data are needed.
        format: The format of the file.
        output: The file to write.
        which: The checkpoint.
        force: Replace an existing file.
        calibrate: Fit a temperature on the validation images, see
            :func:`peerdistill.evaluation.calibrated_temperature`.

    Raises:
        UserError: The run, checkpoint or data are missing, the file exists, or the leader cannot be calibrated.
        ExportError: The leader cannot be written in this format, or the file does not reproduce it.
    """
    if calibrate and run.config.kind == "episodes":
        raise UserError(f"--calibrate needs a classifier, and {run.path} is a few-shot run: its leader has no classes")
    restored, task = restore(run, which), load_task_of(run)
    card, data = restored.card, task.data
    fitted = _calibration(run, task, which) if calibrate else None
    if fitted is not None:
        card = replace(card, temperature=fitted.temperature)
    pictures, split = sample_pictures(run, format.samples, data=data)
    calibration = calibration_pictures(run, restored, data) if format.needs_calibration else None
    report = deploy.export(
        restored.leader(),
        card,
        output,
        format=format,
        pictures=pictures,
        calibration=calibration,
        force=force,
    )
    return RunExport(report, restored.epoch, split, 0 if calibration is None else len(calibration), fitted)


def _calibration(run: Run, task: Task, which: Which) -> Calibration:
    """Return the calibration of the leader of a checkpoint on the validation images."""
    if task.data.val is None:
        raise UserError(
            f"--calibrate needs validation images, and the data of {run.path} has none: train with --validation, or "
            "leave out --calibrate"
        )
    report = evaluator_of_task(run, task, "val").report(which).report.leader
    temperature = calibrated_temperature(report.logits, report.labels)
    after = replace(report, logits=report.logits / np.float32(temperature))
    return Calibration(temperature, len(report.labels), report.ece, after.ece)
