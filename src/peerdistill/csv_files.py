"""CSV files that users write: named columns, text in UTF-8. Errors name the file and the line."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from peerdistill.errors import UserError, cause, some_of

_DELIMITERS = (",", ";", "\t")


class Row(NamedTuple):
    """A row of a CSV file."""

    where: str
    """File and line, for error messages."""
    values: dict[str, str]
    """The value of each column that was asked for and exists, without spaces around it."""


def read_rows(file: Path, columns: Sequence[str], *, optional: Sequence[str] = ()) -> list[Row]:
    """Return the rows of a CSV file. Every row must have a value in each of ``columns``; others are ignored.

    The first line has the names of the columns, in upper or lower case. It also decides whether columns are separated
    by commas, semicolons or tabs. Values may be in double quotes. Empty rows are left out.

    Args:
        file: The file.
        columns: Names of the columns to read, in lower case.
        optional: Names of columns that the file may lack; if it has them, every row must have a value.

    Raises:
        UserError: The file can't be read, is not CSV in UTF-8, lacks a column, or a row lacks a value.
    """
    text = _text(file)
    delimiter = _delimiter(text, columns)
    records = _records(file, text, delimiter)
    _, header = next(records, (1, []))
    names = [name.casefold() for name in header]
    if not set(columns) <= set(names):
        found = some_of(header, most=10) or "an empty file"
        raise UserError(f"'{file}' must have the columns {' and '.join(columns)}, found {found}")
    place = {name: names.index(name) for name in (*columns, *optional) if name in names}
    if repeated := [name for name in place if names.count(name) > 1]:
        raise UserError(f"'{file}' has the column {some_of(repeated)} more than once")
    return [_row(f"line {line} of '{file}'", cells, place, len(names)) for line, cells in records]


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read '{file}': {cause(error)}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise UserError(f"line {line} of '{file}' is not UTF-8 text ({byte}): save the file as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"line {line} of '{file}' has a NUL character: save the file as UTF-8 text")
    return text


def _delimiter(text: str, columns: Sequence[str]) -> str:
    """Return the delimiter with which the first line has all ``columns``; a comma if there is none."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    for delimiter in _DELIMITERS:
        names = {name.strip().strip('"').strip().casefold() for name in first.split(delimiter)}
        if names.issuperset(columns):
            return delimiter
    return _DELIMITERS[0]


def _records(file: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line and the values of each row that is not empty."""
    rows = csv.reader(StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as error:
            raise UserError(f"cannot read line {line} of '{file}': {error}") from error
        if cells is None:
            return
        cells = [cell.strip() for cell in cells]
        if any(cells):
            yield line, cells


def _row(where: str, cells: Sequence[str], place: dict[str, int], width: int) -> Row:
    if len(cells) > width:
        raise UserError(f"{where} has more columns than the first line: put values with a separator in double quotes")
    values = {name: cells[column] if column < len(cells) else "" for name, column in place.items()}
    for name, value in values.items():
        if not value:
            raise UserError(f"{where} has no {name}")
    return Row(where, values)
