"""CSV files that users write: named columns, text in UTF-8. Errors name the file and the line."""

import csv
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

from peerdistill.errors import UserError, cause


class Row(NamedTuple):
    """One line of a CSV file."""

    where: str
    """File and line, for error messages."""
    values: dict[str, str]
    """The value of each column that was asked for, without spaces around it."""


def read_rows(file: Path, columns: Sequence[str]) -> list[Row]:
    """Return the lines of a CSV file. Every line must have a value in each of ``columns``; others are ignored.

    Args:
        file: The file. Its first line has the names of the columns.
        columns: Names of the columns to read.

    Raises:
        UserError: The file can't be read, is not CSV in UTF-8, lacks a column, or a line lacks a value.
    """
    rows = csv.DictReader(StringIO(_text(file), newline=""), strict=True)
    try:
        return list(_checked(file, rows, columns))
    except csv.Error as error:
        raise UserError(f"cannot read line {rows.line_num + 1} of '{file}': {error}") from error


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


def _checked(file: Path, rows: csv.DictReader, columns: Sequence[str]) -> Iterator[Row]:
    if not set(columns) <= set(rows.fieldnames or ()):
        raise UserError(f"'{file}' must have the columns {' and '.join(columns)}, found {rows.fieldnames}")
    for row in rows:
        where = f"line {rows.line_num} of '{file}'"
        values = {column: (row[column] or "").strip() for column in columns}
        for column, value in values.items():
            if not value:
                raise UserError(f"{where} has no {column}")
        if None in row:
            raise UserError(f"{where} has more columns than the first line")
        yield Row(where, values)
