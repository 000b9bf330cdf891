"""What stands in a report, from the folders of its runs: text, tables and charts for the page's template."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

from peerdistill import __version__
from peerdistill.study.report.analysed import Results, analyses_of, analyses_side_by_side, analysis_sections
from peerdistill.study.report.charts import Chart, Section, Table
from peerdistill.study.report.classes import class_charts, hardest
from peerdistill.study.report.costs import cost_section
from peerdistill.study.report.curves import curves_of, overlaid
from peerdistill.study.report.forms import forms_table
from peerdistill.study.report.groups import Group, baseline_among, differing, grouped, options_of
from peerdistill.study.report.pictures import Pictures
from peerdistill.study.report.published import paper_section
from peerdistill.study.report.reported_run import ReportedRun
from peerdistill.study.report.run_tables import (
    duration,
    environment_table,
    facts_of,
    options_table,
    percent,
    scores_table,
    shown,
)
from peerdistill.study.report.verdict import Difference, about, differences, verdict
from peerdistill.study.spread import spread
from peerdistill.study.training_time import MEANING


@dataclass(frozen=True)
class RunDetails:
    """What the report says of one run.

    Attributes:
        id: Identifier in the page.
        name: Name of the run.
        facts: Short facts: name, value and explanation.
        scores: Scores of every network.
        curves: Curves over the epochs.
        classes: Charts of classes, confusion and calibration.
        hardest: The most confident mistakes, see :func:`peerdistill.study.report.classes.hardest`.
        missing: Why something is not shown; empty if everything is.
        sections: What other rooms compute of the run.
        forms: What can be deployed, if it was measured.
        options: The configuration.
        environment: The machine and the versions.
    """

    id: str
    name: str
    facts: Sequence[tuple[str, str, str]]
    scores: Table | None
    curves: Sequence[Chart] = ()
    classes: Sequence[Chart] = ()
    hardest: Sequence[Mapping[str, Any]] = ()
    missing: str = ""
    sections: Sequence[Section] = ()
    forms: Table | None = None
    options: Table | None = None
    environment: Table | None = None


@dataclass(frozen=True)
class Content:
    """A report.

    Attributes:
        title: Its title.
        about: What was trained, in one sentence.
        verdict: What the runs show, in one sentence.
        groups: Mean and deviation of every group; None with one run.
        comparison: Every group against the baseline; None without one.
        sentences: The comparisons in words, if there are several.
        runs: All runs side by side; None with one run.
        differences: The options that differ between runs; None with one run.
        curves: Overlaid curves of all runs.
        sections: What other rooms compute of all runs.
        details: What is said of each run.
        pictures: Pictures by identifier, as ``data:`` addresses.
        written: When the report was written.
        version: Version of peerdistill.
        about_time: What training time is, in one sentence.
    """

    title: str
    about: str
    verdict: str
    groups: Table | None
    comparison: Table | None
    sentences: Sequence[str]
    runs: Table | None
    differences: Table | None
    curves: Sequence[Chart]
    details: Sequence[RunDetails]
    pictures: Mapping[str, str]
    sections: Sequence[Section] = ()
    written: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    version: str = __version__
    about_time: str = MEANING

    @property
    def charts(self) -> dict[str, Chart]:
        """All charts by identifier."""
        found = [*self.curves, *(chart for section in self.sections for chart in section.charts)]
        for one in self.details:
            found += [*one.curves, *one.classes, *(chart for section in one.sections for chart in section.charts)]
        return {chart.id: chart for chart in found}


def content_of(
    runs: Sequence[ReportedRun],
    baseline: ReportedRun | None = None,
    analyses: Sequence[str] = (),
    study: Sequence[Section] = (),
    tell: Callable[[str], object] = str,
) -> Content:
    """Return the report on runs.

    Args:
        runs: The runs; all on classes, or all few-shot.
        baseline: The run among them whose group the others are compared with.
        analyses: Names of the analyses to compute.
        study: The results of a study, which come first.
        tell: Called with a description of each step.
    """
    groups = grouped(runs)
    compared_with = baseline_among(groups, baseline)
    found = [] if compared_with is None else differences(groups, compared_with)
    pictures = Pictures(len(runs))
    results: dict[str, Results] = {}
    details = []
    for number, reported in enumerate(runs):
        tell(f"run {number + 1} of {len(runs)}: {reported.name}")
        results[reported.name] = analyses_of(reported, analyses if reported.result else ())
        details.append(_details(reported, f"run{number}", pictures, results[reported.name]))
    several = len(runs) > 1
    cost, paper = cost_section(groups), paper_section(groups)
    sections: list[Section | None] = [paper]
    if several:
        sections += [analyses_side_by_side(results), cost]
    elif cost is not None:
        details = [replace(one, sections=[*one.sections, cost]) for one in details]
    return Content(
        title=runs[0].name if not several else f"{len(runs)} runs",
        about=about(groups),
        verdict=verdict(groups, found, compared_with),
        groups=_groups_table(groups) if several else None,
        comparison=_comparison(found) if found else None,
        sentences=[one.sentence for one in found] if len(found) > 1 else [],
        runs=_runs_table(runs) if several else None,
        differences=_differences(runs) if several else None,
        curves=overlaid(groups) if several else [],
        details=details,
        pictures=pictures.addresses,
        sections=[*study, *(section for section in sections if section is not None)],
    )


def _details(reported: ReportedRun, id: str, pictures: Pictures, analyses: Results) -> RunDetails:
    common = {
        "id": id,
        "name": reported.name,
        "facts": facts_of(reported),
        "scores": scores_table(reported),
        "curves": curves_of(reported, id),
        "sections": analysis_sections(analyses, id),
        "forms": None if reported.bench is None else forms_table(reported.bench, reported.run.path),
        "options": options_table(reported),
        "environment": environment_table(reported),
    }
    if reported.predictions is None:
        return RunDetails(**common, missing=_why_no_predictions(reported))
    of_run = pictures.of(reported)
    # The hardest pictures come first: the space for pictures is limited.
    mistakes = hardest(reported, of_run)
    charts = class_charts(reported, id, of_run)
    return RunDetails(**common, hardest=mistakes, classes=charts, missing=of_run.missing)


def _why_no_predictions(reported: ReportedRun) -> str:
    if reported.result is None:
        return "Training has not ended: classes, confusion and pictures are shown when it has."
    if reported.config.kind == "episodes":
        return "A few-shot run has other classes in every episode, so there are no figures for each class."
    return "The run folder holds no predictions, so there are no figures for each class."


def _groups_table(groups: Sequence[Group]) -> Table:
    rows = []
    for group in groups:
        values, seconds = list(group.leaders().values()), group.times()
        found = spread(values) if values else None
        rows.append(
            [
                group.label,
                len(values),
                percent(found.mean) if found else "not ended",
                f"{found.deviation:.2f}" if found and len(values) > 1 else "",
                duration(fmean(seconds)) if seconds else "",
            ]
        )
    return Table(["variant", "seeds", "leader, mean", "standard deviation", "training time, mean"], rows)


def _comparison(found: Sequence[Difference]) -> Table:
    rows = [
        [
            one.label,
            f"{one.mean:+.2f}",
            one.interval,
            len(one.verdict.seeds),
            one.verdict.outcome,
            "" if one.time is None else f"{one.time:.1f} x",
        ]
        for one in found
    ]
    return Table(
        [f"leader against {found[0].baseline}", "points", "95 % interval", "seeds", "verdict", "training time"], rows
    )


def _runs_table(runs: Sequence[ReportedRun]) -> Table:
    rows = []
    for reported in runs:
        scores, config = reported.scores, reported.config
        peers = [] if scores is None else [peer["top1"] for peer in scores["peers"]]
        rows.append(
            [
                reported.name,
                config.method,
                config.cohort.backbone,
                config.cohort.peers,
                config.training.epochs,
                config.training.seed,
                percent(scores["leader"]["top1"]) if scores else "not ended",
                percent(fmean(peers)) if len(peers) > 1 else "",
                percent(scores["ensemble"]["top1"]) if scores and len(peers) > 1 else "",
                duration(reported.training_time) if reported.result else "",
            ]
        )
    about, figures = ["run", "method", "network", "peers", "epochs", "seed"], ["leader", "mean peer", "ensemble"]
    return Table([*about, *figures, "training time"], rows)


def _differences(runs: Sequence[ReportedRun]) -> Table | None:
    options = [options_of(reported.config) for reported in runs]
    names = differing(options)
    if not names:
        return None
    rows = [[name, *(shown(each.get(name, "")) for each in options)] for name in names]
    return Table(["option", *(reported.name for reported in runs)], rows)
