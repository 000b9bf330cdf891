"""Lists of pictures in ``train.csv``, ``val.csv`` and ``test.csv`` (Ravi and Larochelle, ICLR 2017)."""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from peerdistill.csv_files import Row, read_rows
from peerdistill.errors import UserError

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
    found = [_listed(row) for row in read_rows(file, COLUMNS)]
    if not found:
        raise UserError(f"'{file}' lists no pictures")
    return found


def _listed(row: Row) -> Listed:
    filename, label = (row.values[column] for column in COLUMNS)
    path = PurePosixPath(filename)
    if path.is_absolute() or ".." in path.parts:
        raise UserError(f"{row.where} names '{filename}': pictures must be below the folder of the list")
    return Listed(row.where, str(path), label)
