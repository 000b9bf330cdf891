"""Write the leader of a run, or its ensemble, as one file, such as ONNX."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from peerdistill.cli.options import add_checkpoint, add_json, add_places, add_run, add_what, format_help, open_run
from peerdistill.cli.printing import console, print_json
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.deploy import formats
from peerdistill.deploy.destination import check_destination
from peerdistill.deploy.what import LEADER, check_what
from peerdistill.errors import UserError
from peerdistill.paths import user_path
from peerdistill.runs.run import Run

if TYPE_CHECKING:
    from peerdistill.deploy import Format

HELP_ORDER = 60


def run(words: list[str]) -> int:
    """Run ``peerdistill export RUN [options]``."""
    parser = make_parser("export", "RUN --format FORMAT [options]", str(__doc__))
    add_run(parser)
    add_what(parser)
    parser.add_argument("--format", type=str, default="onnx", help=format_help())
    parser.add_argument("--int8", action="store_true", help="Short for --format int8.")
    parser.add_argument(
        "--output", "--out", type=str | None, default=None, help="File to write (default: RUN/WHAT[.int8].SUFFIX)."
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--calibrate",
        action="store_true",
        help="Calibrate the probabilities on the validation images (temperature scaling). Classes do not change.",
    )
    parser.add_argument("--force", action="store_true", help="Replace an existing file.")
    add_json(parser)
    add_places(parser)
    options = parse_words(parser, words, kind="option of export")
    format = _chosen_format(options)
    what = options.what or LEADER
    output = _destination(options, format, what)
    from peerdistill import runs

    how = {"what": what, "which": options.checkpoint, "force": options.force, "calibrate": options.calibrate}
    exported = runs.export(open_run(options), format, output, **how)
    report = exported.report
    if options.json:
        print_json(exported.as_dict())
        return 0
    size = f"{report.bytes / 1e6:.2f} MB, {options.checkpoint} epoch {exported.epoch}"
    console().print(f"wrote {report.path} ({size})\n{exported.summary}", soft_wrap=True)
    if exported.calibration is not None:
        console().print(exported.calibration.summary, soft_wrap=True)
    if format.usage:
        console().print(format.usage.format(path=quote(str(report.path))), soft_wrap=True)
    return 0


def _chosen_format(options: Namespace) -> "Format":
    """Return the format given by ``--format`` or ``--int8``.

    Raises:
        UserError: If the format is unknown, or ``--int8`` contradicts it.
    """
    if options.int8 and options.format not in ("onnx", "int8"):
        raise UserError(f"--int8 requires --format onnx, found {options.format}")
    return formats.find("int8" if options.int8 else options.format)


def _destination(options: Namespace, format: "Format", what: str) -> Path:
    """Return the file to write.

    Raises:
        UserError: If there is no run or no such network, or the file cannot be written. Checked before anything slow.
    """
    if format.needs_calibration and user_path(options.run, "the run folder").is_file():
        raise UserError(
            f"{options.run} is a file: --format {format.name} needs a run folder, for training images to calibrate on"
        )
    run = Run(options.run)
    check_what(what, run.config.cohort.peers)
    format.check_holds(what)
    output = run.path / format.default_name_of(what)
    if options.output is not None:
        output = user_path(options.output, "--output")
    check_destination(output, format, force=options.force)
    return output
