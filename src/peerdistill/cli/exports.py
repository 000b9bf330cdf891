"""Export of a leader on the command line. PyTorch is imported only by the functions that need it."""

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from peerdistill.deploy import formats
from peerdistill.deploy.destination import check_destination
from peerdistill.errors import UserError
from peerdistill.paths import user_path
from peerdistill.runs.run import Run

if TYPE_CHECKING:
    from peerdistill.deploy import ExportReport, Format
    from peerdistill.runs import Restored


def format_help() -> str:
    """Return the line of help for ``--format``, which lists the formats."""
    listed = ", ".join(f"{name} ({format.help})" for name, format in formats.FORMATS.items())
    return f"File format: {listed}, or {formats.FORM}."


def chosen_format(options: Namespace) -> "Format":
    """Return the format of ``--format``, or the int8 format for ``--int8``.

    Raises:
        UserError: If the format is unknown, or ``--int8`` is given with another format than onnx.
    """
    if options.int8 and options.format not in ("onnx", "int8"):
        raise UserError(f"--int8 goes with --format onnx, found {options.format}")
    return formats.find("int8" if options.int8 else options.format)


def destination(options: Namespace, format: "Format") -> Path:
    """Return the file to write.

    Raises:
        UserError: If there is no run, or the file cannot be written. This is checked before any slow work.
    """
    if format.needs_calibration and user_path(options.run, "the run folder").is_file():
        raise UserError(
            f"{options.run} is a file and has no training images for calibration: --format {format.name} needs a run "
            "folder"
        )
    run = Run(options.run)
    run.require()
    output = run.path / format.default_name
    if options.output is not None:
        output = user_path(options.output, "--output")
    check_destination(output, format, force=options.force)
    return output


def write(run: Run, restored: "Restored", output: Path, format: "Format", *, force: bool) -> "tuple[ExportReport, str]":
    """Write and verify a leader; return the report, and the check in words."""
    from peerdistill import deploy, runs

    data = runs.load_data(run)
    pictures, split = runs.sample_pictures(run, format.samples, data=data)
    calibration = runs.calibration_pictures(run, restored, data) if format.needs_calibration else None
    how = {"format": format, "pictures": pictures, "calibration": calibration, "force": force}
    report = deploy.export(restored.leader(), restored.card, output, **how)
    calibrated = f"calibrated on {len(calibration)} training pictures; " if calibration is not None else ""
    return report, f"{calibrated}checked on {report.samples} {split} pictures: {report.summary}"
