"""A comparison of runs for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from peerdistill.errors import shortened
from peerdistill.study.comparison.compare import Comparison, Pair
from peerdistill.study.comparison.configurations import SameConfiguration
from peerdistill.study.comparison.measured import TOP1, Measured
from peerdistill.study.results.values import Amount, text
from peerdistill.study.run_names import distinguished
from peerdistill.study.training_time import MEANING
from peerdistill.study.wide_table import Column, WideTable

_LONGEST_VALUE = 40


def render(comparison: Comparison) -> RenderableType:
    """Return a comparison as what rich prints. Everything is printed literally: a name may look like markup."""
    return Group(*_parts(comparison))


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield differences(comparison.configurations, comparison.differences)
    yield _results(comparison.runs)
    yield _pairs(comparison)
    if comparison.verdicts:
        yield Text("Over seeds", style="bold")
        yield from (Text(f"- {verdict.sentence}") for verdict in comparison.verdicts)


def differences(groups: Sequence[SameConfiguration], options: Mapping[str, tuple[Any, ...]]) -> RenderableType:
    """Return the table of the options that differ between configurations, one column each."""
    if len(groups) == 1:
        return Text(f"All runs have the same configuration; seeds {', '.join(map(str, groups[0].seeds))}.\n")
    table = _table("Configurations: options that differ", ["option", *(group.name for group in groups)], numbers=0)
    table.add_row(Text("seeds"), *(Text(", ".join(map(str, group.seeds))) for group in groups))
    for name, values in options.items():
        table.add_row(
            Text(name), *(Text("-" if value is None else shortened(value, _LONGEST_VALUE)) for value in values)
        )
    return table


def _results(runs: Sequence[Measured]) -> WideTable:
    columns, names = list(runs[0].figures), _names(runs)
    head = [*(name for column in columns for name in _headings(column)), "epochs", "training time, s", "parameters"]
    rows = [_values(one, columns) for one in runs]
    found = [Column(name, cells, is_number=True) for name, cells in zip(head, zip(*rows, strict=True), strict=True)]
    return WideTable("Results: accuracy, %", [Column("run", [names[one.name] for one in runs])], found, MEANING)


def _values(one: Measured, columns: Sequence[str]) -> list[str]:
    figures = [one.figures[column][name] for column in columns for name in ("leader", "mean peer", "ensemble")]
    values = one.as_dict()
    seconds = None if values["training_time"] is None else Amount(values["training_time"])
    return [text(value) for value in (*figures, values["epochs"], seconds, values["parameters"])]


def _headings(column: str) -> list[str]:
    return [name if column == TOP1 else f"{column} {name}" for name in ("leader", "mean peer", "ensemble")]


def _names(runs: Sequence[Measured]) -> dict[str, str]:
    """Return what to call runs in tables by path."""
    paths = [one.name for one in runs]
    return dict(zip(paths, distinguished(paths), strict=True))


def _pairs(comparison: Comparison) -> Table:
    first, on_images = comparison.runs[0], comparison.unit == "images"
    test = ["only it right", "only first right", "McNemar p"] if on_images else []
    names = _names(comparison.runs)
    title = f"Leaders minus that of {names[first.name]} on the same {comparison.pairs[0].samples:,} {comparison.unit}"
    keys = ["run"] if on_images else ["run", "episodes"]
    table = _table(title, [*keys, "points", "95 % interval", *test], numbers=2 + len(test))
    for pair in comparison.pairs:
        table.add_row(*(Text(cell) for cell in [names[pair.run], *([] if on_images else [pair.column]), *_cells(pair)]))
    note = f"The intervals are the uncertainty of the choice of {comparison.unit}, not of the training seed."
    table.caption, table.caption_justify = Text(note, "table.caption"), "left"
    return table


def _cells(pair: Pair) -> list[str]:
    found = pair.interval
    cells = [f"{found.mean:+.2f}", f"{found.low:+.2f} to {found.high:+.2f}" if found.known else "-"]
    if pair.mcnemar is not None:
        cells += [text(pair.mcnemar.only_second), text(pair.mcnemar.only_first), f"{pair.mcnemar.p:.2g}"]
    return cells


def _table(title: str, head: Sequence[str], *, numbers: int) -> Table:
    """Return an empty table whose last ``numbers`` columns are numbers."""
    table = Table(title=Text(title, "table.title"), title_justify="left", box=box.SIMPLE_HEAD)
    for place, name in enumerate(head):
        is_number = place >= len(head) - numbers
        table.add_column(Text(name), justify="right" if is_number else "left", overflow="fold")
    return table
