"""Tables as CSV: one line per row, all parts side by side, numbers in full precision."""

import csv
import io
from dataclasses import asdict, is_dataclass
from typing import Any

from peerdistill.study.results.table import KEYS, Row, Table, Value

SUFFIX = ".csv"


def render(table: Table) -> str:
    """Return a table as CSV.

    A mean over seeds is three columns, such as ``mean peer``, ``mean peer: deviation`` and ``mean peer: seeds``. Notes
    and verdicts are left out.
    """
    rows = [_flat_row(row) for row in table.rows]
    found = io.StringIO()
    writer = csv.DictWriter(found, _header(table), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return found.getvalue()


def _header(table: Table) -> list[str]:
    """Return the names of all columns: those of a structure stand together, also if the first row lacks it."""
    values = (
        (column, row[part][column])
        for part in (KEYS, *table.parts)
        for column in table.columns(part)
        for row in table.rows
    )
    return list(dict.fromkeys(name for column, value in values for name, _ in _flat(column, value)))


def _flat_row(row: Row) -> dict[str, Any]:
    return {
        name: one for values in row.values() for column, value in values.items() for name, one in _flat(column, value)
    }


def _flat(column: str, value: Value) -> list[tuple[str, Any]]:
    """Return the columns of a value: the first field of a structure has the name of its column."""
    if not is_dataclass(value):
        return [(column, value)]
    (_, first), *others = asdict(value).items()
    return [(column, first), *((f"{column}: {name}", one) for name, one in others)]
