"""Runs that differ only in their seed form a group; groups differ in options, which name them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from peerdistill.config.config import Config
from peerdistill.errors import UserError
from peerdistill.runs.identity import decisive_options
from peerdistill.study.plan import digest
from peerdistill.study.report.reported_run import ReportedRun

_NAMING = (
    *("data", "method", "backbone", "sharing", "peers", "epochs"),
    *("subset.classes", "subset.per_class", "subset.wrong_labels"),
)
"""Options that name a group first."""


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one configuration with different seeds.

    Attributes:
        label: What distinguishes the group from the others.
        runs: The runs, by seed.
    """

    label: str
    runs: tuple[ReportedRun, ...]

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """Options by dotted name."""
        return options_of(self.runs[0].config)

    def leaders(self) -> dict[int, float]:
        """Return the top-1 accuracy of the leader in percent by seed, of runs that have ended."""
        return {one.seed: one.scores["leader"]["top1"] for one in self.runs if one.scores is not None}

    def times(self) -> list[float]:
        """Return the seconds of the training of runs that have ended."""
        return [one.training_time for one in self.runs if one.training_time is not None]


def grouped(runs: Sequence[ReportedRun]) -> list[Group]:
    """Return the groups of runs, in the order of their first runs."""
    members: dict[tuple[str, str], list[ReportedRun]] = {}
    for reported in runs:
        key = (data_title(reported.config), digest(reported.config))
        members.setdefault(key, []).append(reported)
    found = [tuple(sorted(of_group, key=lambda one: one.seed)) for of_group in members.values()]
    labels = _labels([options_of(of_group[0].config) for of_group in found])
    return [Group(label, of_group) for label, of_group in zip(labels, found, strict=True)]


def group_of(groups: Sequence[Group], reported: ReportedRun) -> Group:
    """Return the group that a run is in."""
    return next(group for group in groups if reported in group.runs)


def baseline_among(groups: Sequence[Group], named: ReportedRun | None) -> Group | None:
    """Return the group that others are compared with: that of a named run, or the only one of plain networks.

    Args:
        groups: All groups.
        named: The run given as the baseline.
    """
    if named is not None:
        return group_of(groups, named)
    plain = [group for group in groups if group.options["method"] == "baseline" and group.options["peers"] == 1]
    return plain[0] if len(plain) == 1 and len(groups) > 1 else None


def require_same_kind(runs: Sequence[ReportedRun]) -> None:
    """Raise UserError if a report would mix runs on classes with few-shot runs."""
    other = next((one for one in runs if one.config.kind != runs[0].config.kind), None)
    if other is not None:
        raise UserError(
            f"{runs[0].run.path} and {other.run.path} are of different kinds (classes and episodes): "
            "write one report for each kind"
        )


def data_title(config: Config) -> str:
    """Return a short name for the data of a run."""
    return config.data.sources.title(config.data.data)


def options_of(config: Config) -> dict[str, Any]:
    """Return the options that affect results by dotted name; the data have their short title instead of their place."""
    return {**decisive_options(config), "data": data_title(config)}


def differing(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the options whose values are not the same everywhere, the naming ones first."""
    names = list(dict.fromkeys(name for each in options for name in each))
    ordered = [*(name for name in _NAMING if name in names), *(name for name in names if name not in _NAMING)]
    return [name for name in ordered if len({repr(each.get(name)) for each in options}) > 1]


def _labels(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the method of each group, followed by as few other options as make all labels different."""
    labels = [str(each["method"]) for each in options]
    for name in differing(options):
        if len(set(labels)) == len(labels):
            break
        if name in ("method", "seed", "test", "labels"):
            continue
        longer = [f"{label}, {name} {each.get(name)}" for label, each in zip(labels, options, strict=True)]
        if len(set(longer)) > len(set(labels)):
            labels = longer
    return labels
