"""A report on runs: one HTML file for any browser, without a network."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peerdistill.runs.run import Run, Which


ANALYSES = ("similarity", "diversity")
"""Analyses in a report, unless others are chosen."""


def write_report(
    runs: "Sequence[Run]",
    out: Path,
    *,
    baseline: "Run | None" = None,
    which: "Which" = "last",
    split: str | None = None,
    analyses: Sequence[str] = ANALYSES,
    results: Path | None = None,
    study: str | None = None,
    tell: Callable[[str], object] = str,
) -> Path:
    """Write a report on one or more runs as one HTML file that loads nothing.

    Args:
        runs: The runs, on classes or few-shot, but not both.
        out: The file; an existing one is replaced.
        baseline: The run whose configuration the others are compared with; it becomes part of the report. By default
            the runs of a single plain network, if they have one configuration.
        which: The checkpoint that is shown.
        split: The evaluation set that is shown, "test" or "val"; by default "test", or "val" without test images.
        analyses: Names of analyses to compute, see :func:`peerdistill.study.analyses.analyse`. They evaluate the
            networks; a run whose data or checkpoint are missing says so instead.
        results: The record of a study (``results.json``, or its folder) whose tables and verdicts are shown, too.
        study: Name or YAML file of this study; by default the one of the package with the title of the record.
        tell: Called with a description of each step.

    Returns:
        The file.

    Raises:
        UserError: An analysis or study is unknown, a folder holds no run or record, a file in it is damaged, a run has
            no such checkpoint or evaluation set, or kinds of runs are mixed.
        WriteError: The file cannot be written.

    Example:
        .. code-block:: python

            write_report([Run("runs/photos")], Path("photos.html"))
    """
    from peerdistill.files import write_whole
    from peerdistill.study.analyses import find
    from peerdistill.study.report.content import content_of
    from peerdistill.study.report.groups import require_same_kind
    from peerdistill.study.report.page import page
    from peerdistill.study.report.reported_run import read_runs
    from peerdistill.study.report.study_results import study_sections

    for name in analyses:
        find(name)
    found = [] if results is None else study_sections(results, study)
    chosen = {run.path.resolve(): run for run in (*runs, *([baseline] if baseline else []))}
    read = dict(zip(chosen, read_runs(list(chosen.values()), which, split), strict=True))
    require_same_kind(list(read.values()))
    compared_with = None if baseline is None else read[baseline.path.resolve()]
    write_whole(out, page(content_of(list(read.values()), compared_with, analyses, found, tell)))
    return out
