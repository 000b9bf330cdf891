"""What a study has found: means over seeds beside the paper's figures, equal compute, and verdicts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peerdistill.study.paper import Published, published
from peerdistill.study.paper.published import Predictor
from peerdistill.study.plan import Study
from peerdistill.study.plan.scales import FULL
from peerdistill.study.record import PREDICTORS, Record
from peerdistill.study.results.best_length import BestLength, best_length
from peerdistill.study.results.equal_compute import MEASURES, BestOf, Longer, best_of, longer_plain
from peerdistill.study.results.groups import ERRORS, Group, Groups
from peerdistill.study.results.images import comparable, different_images
from peerdistill.study.results.values import OverSeeds
from peerdistill.study.results.verdicts import Scores, Verdict, judge

PLAIN = "plain network"
_SELF_EXPLAINING = ("dataset", "network", "setting", "method")  # axes whose labels need no name of the axis


@dataclass(frozen=True)
class Line:
    """What one group of cells, which differ only in their seed, measured in one column.

    Attributes:
        labels: Label on each axis of the study.
        column: What was measured: "error", the test error; "validation error" if there are no test images; or for
            few-shot runs "5-way 1-shot", an accuracy.
        statement: The scale of its runs.
        planned: Number of its seeds.
        unfinished: Number of its seeds by status, such as {"failed": 1}.
        last: Last epoch by predictor ("leader", "mean peer", "ensemble"), in percent.
        best: Best epoch on validation by predictor; empty without validation.
        paper: Published figures by predictor.
        time: Seconds of a training; see :func:`peerdistill.study.training_time.training_time`.
        multiply_adds: Multiply-adds of a training.
        has_teacher: Whether these include the training of a teacher.
        equal: The plain network with the same compute, by "equal time" and "equal multiply-adds".
        best_length: The plain network with the best number of epochs within the compute of the method; None for a plain
            network, or if it was trained for one length only.
        best_of: The best of as many plain networks as there are peers; None for a plain network, or too few seeds.
        analyses: Numbers found by analyses, such as "similarity: intra-class".
        verdicts: Comparisons of the leader with other networks.
    """

    labels: Mapping[str, str]
    column: str
    statement: str
    planned: int
    unfinished: Mapping[str, int]
    last: Mapping[str, OverSeeds]
    best: Mapping[str, OverSeeds]
    paper: Mapping[str, Published]
    time: OverSeeds | None
    multiply_adds: OverSeeds | None
    has_teacher: bool
    equal: Mapping[str, Longer]
    best_length: Longer | None
    best_of: BestOf | None
    analyses: Mapping[str, OverSeeds]
    verdicts: tuple[Verdict, ...]

    @property
    def seeds(self) -> int:
        """Number of finished seeds."""
        return self.last["leader"].seeds if "leader" in self.last else 0

    def above_paper(self, predictor: str) -> float | None:
        """Return the mean minus the published figure, in points; None if either is missing."""
        if predictor not in self.last or predictor not in self.paper:
            return None
        return self.last[predictor].mean - self.paper[predictor].mean


@dataclass(frozen=True)
class Summary:
    """What a study has found.

    Attributes:
        title: Title of the study.
        source: Where it comes from.
        scale: Name of its scale.
        axes: Names of its axes.
        lines: The lines of its result.
        reasons: Why cells have no result, by name of their run.
        processors: Processors on which the runs were trained.
        different_images: What to know about runs that had different images, in sentences.
    """

    title: str
    source: str
    scale: str
    axes: tuple[str, ...]
    lines: tuple[Line, ...]
    reasons: Mapping[str, str]
    processors: tuple[str, ...] = ()
    different_images: tuple[str, ...] = ()

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """All verdicts."""
        return tuple(verdict for line in self.lines for verdict in line.verdicts)


def summarise(study: Study, record: Record) -> Summary:
    """Return what a study has found so far.

    Args:
        study: The study.
        record: What its cells have measured; cells of the record that the study does not have are not used.
    """
    groups = Groups(study, record)
    every = (*groups.methods, *groups.plain)
    lines = [line for group in every for line in _lines(groups, group)]
    reasons = {one.name: one.reason for group in every for one in group.recorded if one.reason and not one.finished}
    axes = tuple(dict.fromkeys(axis for group in every for axis in group.labels))
    finished = [one for group in every for one in group.finished.values()]
    processors = tuple(sorted(set(filter(None, (str(one.machine.get("processor", "")) for one in finished)))))
    different = tuple(different_images(finished).values())
    return Summary(study.title, study.source, study.scale.name, axes, tuple(lines), reasons, processors, different)


def _lines(groups: Groups, group: Group) -> Iterator[Line]:
    """Yield the line of every column of a group; of one without results, a single line."""
    study, plain = groups.study, groups.plain_of(group)
    longer = {compute: longer_plain(groups, group, compute) for compute in (MEASURES if study.equal_compute else ())}
    for column in group.columns or (ERRORS[0] if study.kind == "classes" else "accuracy",):
        best = best_length(groups, group, column)
        yield Line(
            labels=group.labels,
            column=column,
            statement=study.scale.statement(group.labels["dataset"]),
            planned=len(group.cells),
            unfinished=_unfinished(group),
            last=_over_seeds(group, column),
            best=_over_seeds(group, column, best=True),
            paper=_published(study, group, column),
            time=group.cost("time"),
            multiply_adds=group.cost("multiply_adds"),
            has_teacher=group.cells[0].teacher is not None,
            equal={compute: Longer.of(one, column) for compute, one in longer.items() if one is not None},
            best_length=None if best is None else Longer.of(best.group, column),
            best_of=None if plain.name == group.name else best_of(plain, column, group.cells[0].peers),
            analyses=_analyses(group),
            verdicts=tuple(_verdicts(groups, group, column, best, longer)),
        )


def _unfinished(group: Group) -> dict[str, int]:
    """Return how many seeds of a group are not finished, by status."""
    status = {one.seed: one.status for one in group.recorded}
    missing = (status.get(cell.seed, "planned") for cell in group.cells if cell.seed not in group.finished)
    return dict(Counter(missing))


def _over_seeds(group: Group, column: str, *, best: bool = False) -> dict[str, OverSeeds]:
    found = {name: OverSeeds.of(group.figures(column, name, best=best).values()) for name in PREDICTORS}
    return {name: value for name, value in found.items() if value is not None}


def _published(study: Study, group: Group, column: str) -> dict[str, Published]:
    """Return the published figures with the labels of a group, by predictor."""
    if study.paper is None:
        return {}
    labels = group.labels if column in ERRORS else {**group.labels, "setting": column}
    named = {name: labels.get(name) for name in ("dataset", "setting", "network", "method")}
    predictors: tuple[Predictor, ...] = ("leader", "ensemble")
    found = {name: published(table=study.paper.table, role=name, **named) for name in predictors}
    return {name: figure for name, figure in found.items() if figure is not None}


def _analyses(group: Group) -> dict[str, OverSeeds]:
    values: dict[str, list[float]] = {}
    for one in group.finished.values():
        for analysis, figures in one.analyses.items():
            for name, value in figures.items():
                if isinstance(value, int | float):
                    values.setdefault(f"{analysis}: {name}", []).append(value)
    found = {name: OverSeeds.of(of_seeds) for name, of_seeds in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def _verdicts(
    groups: Groups, group: Group, column: str, best: BestLength | None, longer: Mapping[Any, Group | None]
) -> Iterator[Verdict]:
    """Yield the comparisons of a leader: with the baseline, the plain network, and this with the same compute.

    The best length of the plain network comes first, and so names a network that is compared in two ways. A plain
    network is not compared with a method that is compared with it.
    """
    study, words = groups.study, _Words(groups.study, column, _varying(groups.methods))
    others: dict[str, Group | None] = {} if best is None else {f"the plain network ({best})": best.group}
    if study.baseline is not None:
        baseline = groups.with_labels({**group.labels, **study.baseline})
        if baseline is not None and groups.plain_of(baseline).name != group.name:
            others[f"{words.name(study.baseline)}'s leader"] = baseline
    others["the plain network"] = groups.plain_of(group)
    for compute, other in longer.items():
        epochs = "" if other is None else f" ({other.cells[0].epochs} epochs)"
        others[f"the plain network of {compute}{epochs}"] = other
    known = {group.name}
    for name, other in others.items():
        if other is not None and group.finished and other.finished and other.name not in known:
            known.add(other.name)
            yield judge(words.leader(group), name, _same_images(group, other, column), other.scores(column))


def _same_images(group: Group, other: Group, column: str) -> Scores:
    """Return the scores of a group with those seeds whose runs had the images that those of the other group had."""
    ours, theirs = group.finished, other.finished
    different = {seed for seed in ours.keys() & theirs.keys() if not comparable(ours[seed], theirs[seed])}
    return {seed: scores for seed, scores in group.scores(column).items() if seed not in different}


def _varying(groups: Sequence[Group]) -> frozenset[str]:
    """Return the axes on which groups have different labels."""
    labels: dict[str, set[str]] = {}
    for group in groups:
        for axis, label in group.labels.items():
            labels.setdefault(axis, set()).add(label)
    return frozenset(axis for axis, found in labels.items() if len(found) > 1)


@dataclass(frozen=True)
class _Words:
    """What verdicts call the networks of a study.

    Attributes:
        study: The study.
        column: What was measured.
        varying: Axes on which networks have different labels.
    """

    study: Study
    column: str
    varying: frozenset[str]

    def leader(self, group: Group) -> str:
        """Return the name of a leader, after the labels that it shares with what it is compared with."""
        of_method = {axis: label for axis, label in group.labels.items() if axis not in self._shared}
        of_method = {axis: label for axis, label in of_method.items() if axis in {*self.varying, "method"}}
        where = [] if self.study.scale.name == FULL else [f"scale {self.study.scale.name}"]
        where += [self.name({axis: label}) for axis, label in group.labels.items() if axis in self._shared]
        where += [] if self.column in ERRORS else [self.column]
        name = f"{self.name(of_method)}'s leader" if of_method else "the leader"
        return f"{', '.join(where)}: {name}" if where else name

    def name(self, labels: Mapping[str, str]) -> str:
        """Return the name of a method with its labels."""
        return " ".join(label if axis in _SELF_EXPLAINING else f"{axis} {label}" for axis, label in labels.items())

    @property
    def _shared(self) -> frozenset[str]:
        """Axes on which compared networks have the same label."""
        return self.study.plain_axes - frozenset(self.study.baseline or {})
