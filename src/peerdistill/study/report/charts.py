"""Charts as data: the page draws each of them and builds the table under it from the same numbers."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DIGITS = 6
"""Significant digits of the numbers in charts."""

# A number with its sign, unit and interval.
_NUMBER = re.compile(r"[+-]?\d[\d.,]*(e[+-]?\d+)?( ?(%|s|min|h|x|B|[kMGTPE]B?))?( (±|to) .*)?")


@dataclass(frozen=True)
class Line:
    """One line of a chart.

    Attributes:
        name: Its name in legend, hover text and table.
        x: Places, increasing.
        y: Values; None leaves a gap.
        colour: Number of its colour. Lines of the same colour are one entry of the legend, named by ``group``.
        group: Name of the lines of this colour; empty if the line has its own entry.
        style: "solid", "dash" or "thin".
    """

    name: str
    x: Sequence[float | int]
    y: Sequence[float | int | None]
    colour: int
    group: str = ""
    style: str = "solid"


@dataclass(frozen=True)
class Table:
    """A table: names of the columns, and rows of text and numbers; None is an empty cell."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]

    @property
    def numeric(self) -> list[bool]:
        """Whether each column has numbers."""
        return [any(_is_number(row[place]) for row in self.rows) for place in range(len(self.columns))]

    def as_dict(self) -> dict[str, Any]:
        """Return the table for JSON."""
        return {"columns": list(self.columns), "rows": [[rounded(value) for value in row] for row in self.rows]}


@dataclass(frozen=True)
class Chart:
    """A chart with the table under it.

    Attributes:
        id: Identifier in the page, of letters, digits and hyphens.
        kind: Which function of the page draws it: "lines", "bars", "heatmap", "confusion" or "reliability".
        title: Its heading.
        note: A sentence that says what it shows.
        data: What this kind of chart needs.
        table: The table. The page makes the one of "lines" from the lines, with a row for each place.
    """

    id: str
    kind: str
    title: str
    note: str
    data: Mapping[str, Any] = field(default_factory=dict)
    table: Table | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the chart for JSON."""
        table = None if self.table is None else self.table.as_dict()
        return {"kind": self.kind, "title": self.title, "data": self.data, "table": table}


@dataclass(frozen=True)
class Section:
    """A part of the report that other rooms compute: notes, charts and tables under one heading.

    Attributes:
        id: Identifier, of letters, digits and hyphens.
        title: Its heading.
        notes: Sentences below the heading.
        charts: Charts.
        tables: Tables with their names.
    """

    id: str
    title: str
    notes: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[tuple[str, Table]] = ()


def lines(
    id: str, title: str, note: str, drawn: Sequence[Line], *, y: str, x: str = "epoch", log: bool = False
) -> Chart:
    """Return a chart of lines.

    Args:
        id: See :class:`Chart`.
        title: See :class:`Chart`.
        note: See :class:`Chart`.
        drawn: The lines.
        y: Name and unit of the vertical axis.
        x: Name of the horizontal axis.
        log: Whether the vertical axis is logarithmic.
    """
    series = [
        {**vars(line), "x": [rounded(value) for value in line.x], "y": [rounded(value) for value in line.y]}
        for line in drawn
    ]
    return Chart(id, "lines", title, note, {"series": series, "x": x, "y": y, "log": log})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value) is not None)


def rounded(value: Any) -> Any:
    """Return a number with :data:`DIGITS` significant digits, None for one that is not finite, anything else as is."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
