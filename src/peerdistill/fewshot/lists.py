"""Lists of pictures in ``train.csv``, ``val.csv`` and ``test.csv`` (Ravi and Larochelle, ICLR 2017)."""

import csv
from collections.abc import Iterator
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from peerdistill.errors import UserError, cause

COLUMNS = ("filename", "label")


class Listed(NamedTuple):
    """One line of a list."""

    where: str
    """File and line, for error messages."""
    filename: str
    """Path relative to the folder of the pictures, in POSIX form."""
    label: str


def read_list(file: Path) -> list[Listed]:
    """Return the lines of a list: a CSV file in UTF-8 with the columns ``filename`` and ``label``.

    Raises:
        UserError: The file can't be read, is not CSV in UTF-8, lacks a column, or has a line without a name or label.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read '{file}': {cause(error)}") from error
    rows = csv.DictReader(StringIO(_text(file, content), newline=""), strict=True)
    try:
        found = list(_checked(file, rows))
    except csv.Error as error:
        raise UserError(f"cannot read line {rows.line_num + 1} of '{file}': {error}") from error
    if not found:
        raise UserError(f"'{file}' lists no pictures")
    return found


def _text(file: Path, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{content[error.start]:02x}"
        raise UserError(f"line {line} of '{file}' is not UTF-8 text ({byte}): save the list as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"line {line} of '{file}' has a NUL character: save the list as UTF-8 text")
    return text


def _checked(file: Path, rows: csv.DictReader) -> Iterator[Listed]:
    if not set(COLUMNS) <= set(rows.fieldnames or ()):
        raise UserError(f"'{file}' must have the columns {' and '.join(COLUMNS)}, found {rows.fieldnames}")
    for row in rows:
        where = f"line {rows.line_num} of '{file}'"
        filename, label = ((row[column] or "").strip() for column in COLUMNS)
        for column, value in zip(COLUMNS, (filename, label), strict=True):
            if not value:
                raise UserError(f"{where} has no {column}")
        if None in row:
            raise UserError(f"{where} has more columns than the first line")
        path = PurePosixPath(filename)
        if path.is_absolute() or ".." in path.parts:
            raise UserError(f"{where} names '{filename}': pictures must be below the folder of the list")
        yield Listed(where, str(path), label)
