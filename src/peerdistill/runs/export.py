"""Export of the leader of a run as one file."""

from dataclasses import dataclass
from pathlib import Path

from peerdistill import deploy
from peerdistill.deploy import ExportReport, Format
from peerdistill.runs.restore import restore
from peerdistill.runs.run import Run, Which
from peerdistill.runs.samples import calibration_pictures, load_data, sample_pictures


@dataclass(frozen=True)
class RunExport:
    """An exported leader.

    Attributes:
        report: The report of the file and its verification.
        epoch: Number of epochs that the leader was trained.
        split: Split of the pictures on which the file was verified.
        calibrated_on: Number of training pictures that calibrated the file.
    """

    report: ExportReport
    epoch: int
    split: str
    calibrated_on: int

    @property
    def summary(self) -> str:
        """The verification as a sentence."""
        calibrated = f"calibrated on {self.calibrated_on} training pictures; " if self.calibrated_on else ""
        return f"{calibrated}checked on {self.report.samples} {self.split} pictures: {self.report.summary}"


def export(run: Run, format: Format, output: Path, *, which: Which = "last", force: bool = False) -> RunExport:
    """Write the leader of a run as one file, and verify the file on pictures of the run.

    Args:
        run: The run; its data are needed.
        format: The format of the file.
        output: The file to write.
        which: The checkpoint.
        force: Replace an existing file.

    Raises:
        UserError: The run, checkpoint or data are missing, or the file exists.
        ExportError: The leader cannot be written in this format, or the file does not reproduce it.
    """
    restored, data = restore(run, which), load_data(run)
    pictures, split = sample_pictures(run, format.samples, data=data)
    calibration = calibration_pictures(run, restored, data) if format.needs_calibration else None
    report = deploy.export(
        restored.leader(),
        restored.card,
        output,
        format=format,
        pictures=pictures,
        calibration=calibration,
        force=force,
    )
    return RunExport(report, restored.epoch, split, 0 if calibration is None else len(calibration))
