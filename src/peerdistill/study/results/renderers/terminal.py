"""Tables for a terminal."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from peerdistill.study.results.table import KEYS, SCALE, Table, is_text
from peerdistill.study.results.values import text
from peerdistill.study.wide_table import Column, WideTable


def render(table: Table) -> RenderableType:
    """Return a table as what rich prints: its parts, then verdicts, notes and reasons.

    Labels that all rows share stand in the titles, and statements of scales below: terminals are narrow. Everything is
    printed literally: a label may look like markup.
    """
    return Group(*_all(table))


def _all(table: Table) -> Iterator[RenderableType]:
    for part in table.parts:
        yield _part(table, part)
    for heading, sentences in (("Verdicts", table.verdicts), ("Notes", table.notes), ("Missing", table.reasons)):
        if sentences:
            yield Text(heading, style="bold")
            yield from (Text(f"- {sentence}") for sentence in sentences)
            yield Text("")


def _part(table: Table, part: str) -> WideTable:
    keys = _varying(table)
    shared = [label for name in table.columns(KEYS) if name not in keys for label in _labels(table, name)]
    title = ", ".join([table.title, *shared])
    columns = [_column(table, part, name) for name in table.columns(part)]
    return WideTable(f"{title}: {part}", [_column(table, KEYS, name) for name in keys], columns)


def _column(table: Table, part: str, name: str) -> Column:
    values = [row[part][name] for row in table.rows]
    is_number = part != KEYS and not any(map(is_text, values))
    return Column(name, [_short(name, text(value)) for value in values], is_number=is_number)


def _varying(table: Table) -> list[str]:
    """Return the identifying columns whose value is not the same in all rows; one of them at least."""
    names = table.columns(KEYS)
    return [name for name in names if len(_labels(table, name)) > 1] or list(names[-1:])


def _labels(table: Table, name: str) -> list[str]:
    """Return the different labels in a column; a plain network has none for some axes."""
    found = dict.fromkeys(text(row[KEYS][name]) for row in table.rows)
    return [label for label in found if label != text(None)]


def _short(column: str, value: str) -> str:
    return value.partition(":")[0] if column == SCALE else value
