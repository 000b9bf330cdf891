"""What stands in a report, from the folders of its runs: text, tables and charts for the page's template."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
from peerdistill.study.report.verdict import Difference, about, differences, verdict
from peerdistill.study.spread import spread


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


def percent(value: float | None) -> str:
    """Return a percentage with two digits."""
    return "" if value is None else f"{value:.2f} %"


def duration(seconds: float | None) -> str:
    """Return a time in hours, minutes or seconds."""
    if seconds is None:
        return "not recorded"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _details(reported: ReportedRun, id: str, pictures: Pictures, analyses: Results) -> RunDetails:
    common = {
        "id": id,
        "name": reported.name,
        "facts": _facts(reported),
        "scores": _scores(reported),
        "curves": curves_of(reported, id),
        "sections": analysis_sections(analyses, id),
        "forms": None if reported.bench is None else forms_table(reported.bench, reported.run.path),
        "options": _options(reported),
        "environment": _environment(reported),
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


def _facts(reported: ReportedRun) -> list[tuple[str, str, str]]:
    """Return name, value and explanation of the figures at the top."""
    result, scores = reported.result, reported.scores
    if result is None or scores is None:
        done = reported.records[-1]["epoch"] if reported.records else 0
        return [("Epochs", f"{done} of {reported.config.training.epochs}", "training has not ended")]
    half = scores["leader"].get("interval95")
    found = [("Leader", percent(scores["leader"]["top1"]), f"top-1 accuracy, {_on(reported)}")]
    if half is not None:
        found[0] = ("Leader", f"{scores['leader']['top1']:.2f} ± {half:.2f} %", _on(reported))
    if reported.peers > 1:
        mean = fmean(peer["top1"] for peer in scores["peers"])
        found.append(("Mean peer", percent(mean), f"of {reported.peers} peers"))
        found.append(("Ensemble", percent(scores["ensemble"]["top1"]), "all peers together"))
    if reported.outcomes:
        leader = reported.outcomes["leader"]
        found.append(("Balanced accuracy", percent(100 * leader.balanced_accuracy), "mean recall of the classes"))
        found.append(("Calibration error", f"{leader.ece:.4f}", "expected, of the leader, 0 to 1"))
    found.append(("Parameters", f"{result['parameters']['leader']:,}", "of the deployed leader"))
    cpu = result.get("cpu_seconds")
    note = "elapsed" if cpu is None else f"elapsed; {duration(cpu)} of CPU time"
    found.append(("Training time", duration(result.get("seconds")), note))
    return found


def _on(reported: ReportedRun) -> str:
    scores = reported.scores or {}
    if reported.config.kind == "episodes":
        shape = f"{scores['ways']}-way {scores['shots']}-shot"
        return f"{shape}, {scores['episodes']:,} {reported.evaluated} episodes, 95 % interval"
    return f"{scores['samples']:,} {reported.evaluated} images, {reported.which} epoch"


def _scores(reported: ReportedRun) -> Table | None:
    """Return the scores of every network, with a column for each epoch, evaluation set and metric."""
    if reported.result is None:
        return None
    columns: dict[str, None] = {}
    rows: dict[str, dict[str, str]] = {}
    for which in ("last", "best"):
        measured = reported.result.get(which) or {}
        for split in (name for name in ("test", "val") if name in measured):
            where = f"{which} epoch ({measured['epoch']}), {_SPLITS.get(split, split)}"
            for network, scores in _networks(measured[split]):
                named = {f"{where}: {_METRICS.get(name, name)}": text for name, text in _with_interval(scores)}
                rows.setdefault(network, {}).update(named)
                columns |= dict.fromkeys(named)
    return Table(["network", *columns], [[name, *map(values.get, columns)] for name, values in rows.items()])


_SPLITS = {"val": "validation"}
_METRICS = {"top1": "top-1, %", "top5": "top-5, %"}


def _with_interval(scores: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Yield the metrics of a network as text, and the interval of few-shot runs behind its mean."""
    for name, value in scores.items():
        if name == "top1" and "interval95" in scores:
            yield name, f"{value:.2f} ± {scores['interval95']:.2f}"
        elif name != "interval95":
            yield name, f"{value:.2f}"


def _networks(scores: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Yield the networks that were evaluated with their scores: the leader first, then what contains or averages it."""
    yield "leader", scores["leader"]
    if len(scores["peers"]) > 1:
        yield "ensemble", scores["ensemble"]
    yield from ((name, scores[name]) for name in ("ema", "average") if name in scores)
    yield from ((f"peer {number}", peer) for number, peer in enumerate(scores["peers"][:-1]))


def _groups_table(groups: Sequence[Group]) -> Table:
    rows = []
    for group in groups:
        values, seconds = list(group.leaders().values()), group.seconds()
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
    return Table(["variant", "seeds", "leader, mean", "standard deviation", "CPU time, mean"], rows)


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
        [f"leader against {found[0].baseline}", "points", "95 % interval", "seeds", "verdict", "CPU time"], rows
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
                duration((reported.result or {}).get("seconds")) if reported.result else "",
            ]
        )
    columns = ["run", "method", "network", "peers", "epochs", "seed", "leader", "mean peer", "ensemble", "time"]
    return Table(columns, rows)


def _differences(runs: Sequence[ReportedRun]) -> Table | None:
    options = [options_of(reported.config) for reported in runs]
    names = differing(options)
    if not names:
        return None
    rows = [[name, *(_value(each.get(name, "")) for each in options)] for name in names]
    return Table(["option", *(reported.name for reported in runs)], rows)


def _options(reported: ReportedRun) -> Table:
    return Table(["option", "value"], [[name, _value(value)] for name, value in _flat(reported.config.as_dict())])


def _environment(reported: ReportedRun) -> Table | None:
    if reported.environment is None:
        return None
    return Table(["item", "value"], [[name, _value(value)] for name, value in _flat(reported.environment)])


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
