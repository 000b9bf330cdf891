"""The line plot that a study asks for: errors or accuracies against epochs, peers, time or another option."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from peerdistill.config.typed import dotted
from peerdistill.errors import UserError
from peerdistill.evaluation.plotting import COLOURS, write_png
from peerdistill.study.plan import LinePlot, Study
from peerdistill.study.plotting import panels as make_panels
from peerdistill.study.record import Record
from peerdistill.study.results.groups import ERRORS, Group, Groups
from peerdistill.study.results.values import OverSeeds

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_TITLES = {"leader": "leader", "mean peer": "mean of the peers", "ensemble": "ensemble of all peers"}
_LABELS = {
    "epochs": "epochs",
    "peers": "number of peers",
    "time": "seconds of the training",
    "multiply_adds": "$10^{12}$ multiply-adds of the training",
}
_COSTS = {"time": 1.0, "multiply_adds": 1e12}
"""The costs that an axis can show, with its unit."""
_UNITS = {"error": "test error, %", "validation error": "validation error, %"}
_LOGARITHMIC = 8.0
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""
_PANEL_INCHES = (4.6, 3.8)


@dataclass(frozen=True)
class Point:
    """A point of a line: the mean over seeds of what a group measured, with its number of epochs."""

    x: float
    y: OverSeeds
    epochs: int


def plot(study: Study, record: Record, path: Path) -> None:
    """Draw the figure of a study as a PNG file.

    Each predictor has a panel, and each combination of labels on the series' axes a line, with the standard deviation
    over seeds as error bars. A single network is its own ensemble.

    Args:
        study: A study with a ``figure``.
        record: What its cells have measured.
        path: The PNG file to write.

    Raises:
        UserError: The study has no figure or no results yet, or its x axis is not a number.
        WriteError: The file cannot be written.
    """
    panels = panels_of(study, record)
    write_png(lambda: _drawn(study, panels), path)


def has_points(study: Study, record: Record) -> bool:
    """Return whether a run that the figure shows is finished."""
    return any(group.finished for group in Groups(study, record).methods)


def panels_of(study: Study, record: Record) -> dict[tuple[str, str], dict[str, list[Point]]]:
    """Return what :func:`plot` draws: points by name of the line, for each column and predictor.

    Raises:
        UserError: As :func:`plot`.
    """
    asked = study.figure
    if asked is None:
        raise UserError(f"the study {study.title} has no figure: its file has no key 'figure'")
    groups = [group for group in Groups(study, record).methods if group.finished]
    columns = list(dict.fromkeys(column for group in groups for column in group.columns))
    if not columns:
        raise UserError(f"there is no figure of {study.title} yet: none of its runs is finished")
    return {(column, name): _lines(groups, asked, column, name) for column in columns for name in asked.y}


def _lines(groups: Sequence[Group], asked: LinePlot, column: str, predictor: str) -> dict[str, list[Point]]:
    several = len({group.labels["dataset"] for group in groups}) > 1
    series = ["dataset", *asked.series] if several and "dataset" not in asked.series else asked.series
    found: dict[str, list[Point]] = {}
    for group in groups:
        of = "leader" if predictor == "ensemble" and group.cells[0].peers == 1 else predictor
        y = OverSeeds.of(group.figures(column, of).values())
        if y is not None:
            name = ", ".join(group.labels[axis] for axis in series if axis in group.labels)
            found.setdefault(name, []).append(Point(_x_of(group, asked.x), y, group.cells[0].epochs))
    return {name: sorted(points, key=lambda point: point.x) for name, points in found.items()}


def _x_of(group: Group, name: str) -> float:
    """Return the place of a group on the horizontal axis."""
    if name in _COSTS:
        mean = group.mean_cost(name)
        value: Any = None if mean is None else mean / _COSTS[name]
    else:
        value = dotted(group.cells[0].resolved.as_dict()).get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"the x axis of a figure must be a number, found {name} {value} of {group.name}")
    return float(value)


def _drawn(study: Study, lines: Mapping[tuple[str, str], Mapping[str, Sequence[Point]]]) -> Figure:
    titles = [
        _TITLES[predictor] if column in ERRORS else f"{column}: {_TITLES[predictor]}" for column, predictor in lines
    ]
    assert study.figure is not None
    figure, axes = make_panels(titles, _PANEL_INCHES, columns=len(study.figure.y))
    names = list(dict.fromkeys(name for of_panel in lines.values() for name in of_panel))
    for axis, ((column, _), of_panel) in zip(axes, lines.items(), strict=True):
        for name, points in of_panel.items():
            _draw_line(axis, points, names.index(name), name)
            if study.figure.x in _COSTS:
                _write_epochs(axis, points, names.index(name))
        axis.set_xlabel(_LABELS.get(study.figure.x, study.figure.x))
        axis.set_ylabel(_UNITS.get(column, "test accuracy, %"))
        _scale_x(axis, study.figure.x, sorted({point.x for points in of_panel.values() for point in points}))
    _share_y(axes, [column for column, _ in lines])
    figure.legend(*_one_entry_each(axes), frameon=False, loc="outside right upper")
    figure.suptitle(study.title, fontsize=11, parse_math=False)
    figure.supxlabel(_caption(study, lines.values()), fontsize=8, parse_math=False)
    return figure


def _draw_line(axis: Axes, points: Sequence[Point], number: int, name: str) -> None:
    axis.errorbar(
        [point.x for point in points],
        [point.y.mean for point in points],
        yerr=[point.y.deviation or 0.0 for point in points],
        color=_colour(number),
        marker=_MARKERS[number % len(_MARKERS)],
        markersize=5,
        linewidth=1.3,
        capsize=2.5,
        label=name.replace("$", r"\$"),
    )


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _write_epochs(axis: Axes, points: Sequence[Point], number: int) -> None:
    for point in points:
        axis.annotate(
            f"{point.epochs}",
            (point.x, point.y.mean),
            xytext=(6, 5),
            textcoords="offset points",
            fontsize=8,
            color=_colour(number),
        )


def _one_entry_each(axes: Sequence[Axes]) -> tuple[list[Any], list[str]]:
    """Return the entries of one legend for all panels."""
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    return list(found.values()), list(found)


def _scale_x(axis: Axes, name: str, values: Sequence[float]) -> None:
    """Choose a logarithmic axis for costs, and for other values that differ much."""
    if values[0] > 0 and (name in _COSTS or values[-1] / values[0] >= _LOGARITHMIC):
        axis.set_xscale("log")
        axis.set_xlabel(f"{axis.get_xlabel()} (logarithmic)")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if name in _COSTS else FixedLocator(list(values)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.tick_params(axis="x", which="minor", length=0)
    elif all(value == int(value) for value in values):
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _share_y(axes: Sequence[Axes], columns: Sequence[str]) -> None:
    """Give the panels of one column the same vertical range."""
    for column in set(columns):
        same = [axis for axis, of in zip(axes, columns, strict=True) if of == column]
        ends = [axis.get_ylim() for axis in same]
        for axis in same:
            axis.set_ylim(min(low for low, _ in ends), max(high for _, high in ends))


def _caption(study: Study, panels: Iterable[Mapping[str, Sequence[Point]]]) -> str:
    counts = sorted({point.y.seeds for lines in panels for points in lines.values() for point in points})
    seeds = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    epochs = " Numbers at the points: epochs." if study.figure is not None and study.figure.x in _COSTS else ""
    statements = "; ".join(f"{dataset}, {study.scale.statement(dataset)}" for dataset in study.datasets)
    return f"mean ± standard deviation, number of seeds: {seeds}.{epochs} {statements}"
