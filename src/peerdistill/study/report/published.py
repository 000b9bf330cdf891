"""Runs beside the figures of the paper, where their data, network, method and sharing match."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from peerdistill.fewshot.config import column_of
from peerdistill.study.paper import SOURCE, Published, all_published
from peerdistill.study.report.charts import Section, Table
from peerdistill.study.report.groups import Group
from peerdistill.study.report.reported_run import ReportedRun
from peerdistill.study.spread import spread

EPOCHS = {"CIFAR-100": 300}
"""Epochs of the paper, where it states them (section 4.1 and supplement)."""


def paper_section(groups: Sequence[Group]) -> Section | None:
    """Return the published figures of the groups that match any; None if no group does."""
    rows = [row for group in groups for row in _rows(group)]
    if not rows:
        return None
    columns = ["run", "figure", "table", "published", "here", "seeds", "difference", "how this differs from the paper"]
    note = (
        "Classes: top-1 error in percent; few-shot: accuracy in percent. The last column says what makes figures "
        f"hard to compare. {SOURCE}."
    )
    return Section("paper", "Beside the paper", [note], tables=[("published figures", Table(columns, rows))])


def _rows(group: Group) -> Iterator[list[Any]]:
    first = group.runs[0]
    for figure in all_published():
        if not _matches(first, figure):
            continue
        values = [value for one in group.runs if (value := _measured(one, figure)) is not None]
        if not values:
            continue
        here = spread(values)
        what = figure.role if first.config.kind == "classes" else f"{figure.role}, {figure.setting}"
        yield [
            group.label,
            what,
            f"{figure.table}, {figure.network}, {figure.method}",
            _plus_minus(figure.mean, figure.std),
            _plus_minus(here.mean, here.deviation if len(values) > 1 else None),
            len(values),
            f"{here.mean - figure.mean:+.2f}",
            _how(first, figure),
        ]


def _matches(reported: ReportedRun, figure: Published) -> bool:
    config = reported.config
    data = _letters(config.data.sources.title(config.data.data))
    same = data.startswith(_letters(figure.dataset)) and _letters(config.method) == _letters(figure.method)
    if config.kind == "episodes":
        return same and figure.metric == "top1_accuracy"
    # A single network shares nothing, whatever its sharing says; the paper's Table 2 has a tree for CL-ILR.
    sharing = {"tree": "branch"}.get(str(config.cohort.sharing), str(config.cohort.sharing))
    setting = "network" if config.cohort.peers == 1 else sharing
    return (
        same
        and figure.metric == "top1_error"
        and _letters(config.cohort.backbone) == _letters(figure.network)
        and figure.setting in ("", setting)
    )


def _measured(reported: ReportedRun, figure: Published) -> float | None:
    scores = reported.scores
    if scores is None or reported.split != "test" or (figure.role == "ensemble" and len(scores["peers"]) == 1):
        return None
    top1 = scores[figure.role]["top1"]
    if figure.metric == "top1_error":
        return 100 - top1
    return top1 if figure.setting == column_of(scores["ways"], scores["shots"]) else None


def _how(reported: ReportedRun, figure: Published) -> str:
    config = reported.config
    subset = getattr(config.data, "subset", None)
    found = []
    if subset is not None and subset.classes:
        found.append(f"{subset.classes} classes")
    if subset is not None and subset.per_class:
        found.append(f"{subset.per_class} training images of each class")
    if subset is not None and subset.wrong_labels:
        found.append(f"{subset.wrong_labels:.0%} wrong labels")
    if config.episodes is not None:
        found.append(f"{config.episodes.episodes:,} training episodes")
    elif (epochs := EPOCHS.get(figure.dataset)) != config.training.epochs:
        found.append(f"{config.training.epochs} epochs{f' instead of {epochs}' if epochs else ''}")
    return "; ".join(found)


def _plus_minus(mean: float, deviation: float | None) -> str:
    return f"{mean:.2f}" if deviation is None else f"{mean:.2f} ± {deviation:.2f}"


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())
