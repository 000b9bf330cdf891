"""Export of a network of a run as one file."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from peerdistill import deploy
from peerdistill.deploy import ExportReport, Format
from peerdistill.deploy.what import LEADER, check_what
from peerdistill.errors import UserError
from peerdistill.evaluation import calibrated_temperature
from peerdistill.runs.deployable import deployable
from peerdistill.runs.evaluate import evaluator_of_task
from peerdistill.runs.model_card import facts_of
from peerdistill.runs.restore import Restored, restore
from peerdistill.runs.run import Run, Which
from peerdistill.runs.samples import calibration_pictures, sample_pictures
from peerdistill.runs.task import Task
from peerdistill.runs.tasks import load_task_of


@dataclass(frozen=True)
class RunExport:
    """An exported network of a run.

    Attributes:
        report: The report of the file and its verification.
        epoch: Number of epochs that the run was trained.
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
    """Calibrated probabilities of a network.

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
        where = f"the {self.images} validation pictures that chose it"
        return f"temperature {self.temperature:.4f}; calibration error on {where}: {errors}"


def export(
    run: Run,
    format: Format,
    output: Path,
    *,
    what: str = LEADER,
    which: Which = "last",
    force: bool = False,
    calibrate: bool = False,
) -> RunExport:
    """Write a network of a run as one file, and verify the file on pictures of the run.

    Args:
        run: The run; its data are needed.
        format: The format of the file.
        output: The file to write.
        what: The network, see :func:`peerdistill.runs.deployable`.
        which: The checkpoint.
        force: Replace an existing file.
        calibrate: Fit a temperature on the validation images, see
            :func:`peerdistill.evaluation.calibrated_temperature`.

    Raises:
        UserError: The run, checkpoint, network or data are missing, the file exists, the format does not hold an
            ensemble, or the network cannot be calibrated.
        ExportError: The network cannot be written in this format, or the file does not reproduce it.
    """
    if calibrate and run.config.kind == "episodes":
        raise UserError(f"--calibrate needs a classifier, and {run.path} is a few-shot run: its leader has no classes")
    check_what(what, run.config.cohort.peers)
    format.check_holds(what)
    restored, task = restore(run, which), load_task_of(run)
    data = task.data
    chosen = deployable(run, restored, what, task=task)
    fitted = _calibration(run, task, restored, chosen.network) if calibrate else None
    card = chosen.card if fitted is None else replace(chosen.card, temperature=fitted.temperature)
    pictures, split = sample_pictures(run, format.samples, data=data)
    calibration = calibration_pictures(run, restored, data) if format.needs_calibration else None
    report = deploy.export(
        chosen.network,
        card,
        output,
        format=format,
        pictures=pictures,
        calibration=calibration,
        facts={"network of the run": what, **facts_of(run, restored, task)},
        force=force,
    )
    return RunExport(report, restored.epoch, split, 0 if calibration is None else len(calibration), fitted)


def _calibration(run: Run, task: Task, restored: Restored, network: nn.Module) -> Calibration:
    """Return the calibration of a network of a checkpoint on the validation images."""
    if task.data.val is None:
        raise UserError(
            f"--calibrate needs validation images, and the data of {run.path} has none: train with --validation, or "
            "leave out --calibrate"
        )
    report = evaluator_of_task(run, task, "val").report_of(network, restored)
    temperature = calibrated_temperature(report.logits, report.labels)
    after = replace(report, logits=report.logits / np.float32(temperature))
    return Calibration(temperature, len(report.labels), report.ece, after.ece)
