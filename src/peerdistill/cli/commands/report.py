"""Write a report on one or more runs as one HTML file for the browser."""

from typing import Literal

from peerdistill.cli.options import add_checkpoint, add_places, file_option, opened
from peerdistill.cli.printing import console
from peerdistill.config.parser import make_parser, parse_words
from peerdistill.paths import user_path
from peerdistill.study.analyses import listed
from peerdistill.study.report import ANALYSES, write_report

HELP_ORDER = 57


def run(words: list[str]) -> int:
    """Run ``peerdistill report RUN... [options]``."""
    parser = make_parser("report", "RUN... [options]", str(__doc__))
    parser.add_argument("runs", type=str, nargs="+", help="Folders of runs, finished or not.")
    parser.add_argument(
        "--out", type=str, default="report.html", help="HTML file to write. An existing file is replaced."
    )
    parser.add_argument(
        "--baseline",
        type=str | None,
        default=None,
        help="Run whose configuration the others are compared with, paired by seed (default: the single plain network, "
        "if the runs have one).",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--split",
        type=Literal["test", "val"] | None,
        default=None,
        help="Evaluation set (default: test, or val if the data has no test images).",
    )
    parser.add_argument(
        "--analyses",
        type=str,
        default=",".join(ANALYSES),
        help=f"Analyses, separated by commas, or none: {listed()}. They evaluate the networks of every run.",
    )
    parser.add_argument(
        "--results",
        type=str | None,
        default=None,
        help="Folder of results that reproduce wrote, or its results.json: tables and verdicts of a study.",
    )
    parser.add_argument(
        "--study", type=str | None, default=None, help="Study of --results (default: the one with its title)."
    )
    add_places(parser)
    options = parse_words(parser, words, kind="option of report")
    out = file_option(options, "out", ".html", ".htm")
    assert out is not None  # it has a default
    runs = [opened(name, options) for name in options.runs]
    baseline = None if options.baseline is None else opened(options.baseline, options)
    analyses = [name.strip() for name in options.analyses.split(",")] if options.analyses != "none" else []
    with console(stderr=True).status("reading the runs") as status:
        results = None if options.results is None else user_path(options.results, "--results")
        study = {"results": results, "study": options.study}
        how = {"which": options.checkpoint, "split": options.split, "analyses": analyses, "tell": status.update}
        write_report(runs, out, baseline=baseline, **how, **study)
    console().print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB): open it in a browser", soft_wrap=True)
    return 0
