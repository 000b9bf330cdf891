"""How the command line has a leader written and checked. PyTorch is imported only by what needs it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from peerdistill.deploy.destination import check_destination
from peerdistill.errors import UserError
from peerdistill.paths import user_path
from peerdistill.runs.run import Run

if TYPE_CHECKING:
    from peerdistill.deploy import ExportReport
    from peerdistill.runs import Restored

_CHECK_PICTURES = 128
# An int8 leader's report is a share of pictures: more of them tell it more finely.
_INT8_CHECK_PICTURES = 512


def destination(options: Namespace) -> Path:
    """Return the file to write.

    Raises:
        UserError: For what does not go with ``--int8``, or a file that can't be written; told before anything slow.
    """
    if options.int8 and options.format != "onnx":
        raise UserError(f"--int8 goes with --format onnx, found {options.format}")
    if options.int8 and user_path(options.run, "the run folder").is_file():
        raise UserError(
            f"{options.run} is a file and remembers no training images to calibrate on: --int8 needs a run's folder"
        )
    run = Run(options.run)
    run.require()
    output = run.path / f"leader.{'int8.' if options.int8 else ''}{options.format}"
    if options.output is not None:
        output = user_path(options.output, "--output")
    check_destination(output, options.format, force=options.force)
    return output


def plain(run: Run, restored: "Restored", output: Path, options: Namespace) -> "tuple[ExportReport, str]":
    """Return the report of an export, and its check in words."""
    from peerdistill import deploy, runs

    pictures, split = runs.sample_pictures(run, _CHECK_PICTURES)
    how = {"format": options.format, "pictures": pictures, "force": options.force}
    report = deploy.export(restored.leader(), restored.card, output, **how)
    return report, (
        f"checked on {report.samples} {split} pictures: largest difference of {restored.card.output} "
        f"{report.largest_difference:.2g}, {restored.card.answer} on {report.agreement:.2%}"
    )


def int8(run: Run, restored: "Restored", output: Path, options: Namespace) -> "tuple[ExportReport, str]":
    """Return the report of an int8 export, and its check in words."""
    from peerdistill import deploy, runs

    data = runs.load_data(run)
    pictures, split = runs.sample_pictures(run, _INT8_CHECK_PICTURES, data=data)
    calibration = runs.calibration_pictures(run, restored, data)
    with TemporaryDirectory() as folder:
        exact = Path(folder) / "leader.onnx"
        deploy.export(restored.leader(), restored.card, exact, format="onnx", pictures=pictures)
        report = deploy.quantise(exact, output, calibration=calibration, pictures=pictures, force=options.force)
    return report, (
        f"calibrated on {report.calibrated_on} training pictures; checked on {report.samples} {split} pictures: "
        f"{restored.card.answer} as in float32 ({report.float_bytes / 1e6:.2f} MB) on {report.agreement:.2%}"
    )
