"""Find the pictures that a table of labels names. Free of PyTorch.

The table is a CSV file in UTF-8. Its first line names the columns ``path``, ``label`` and, optionally, ``split``; other
columns are not used. Paths are relative to the data folder, or absolute.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from peerdistill.csv_files import Row, read_rows
from peerdistill.data.class_folders import warn_each
from peerdistill.data.layout import Pictures, is_picture, split_called
from peerdistill.data.listing import Listing, list_folder
from peerdistill.errors import UserError, shortened, some_of

_SPLITS = ("train", "val", "test")
_MOST_SHOWN = 3


@dataclass(frozen=True)
class LabelRow:
    """A row of a table.

    Attributes:
        where: File and line, for error messages.
        path: The picture, as it is written.
        label: Name of the class.
        split: "train", "val" or "test"; None if the table has no such column.
    """

    where: str
    path: str
    label: str
    split: str | None


def read_labels(table: Path) -> list[LabelRow]:
    """Return the rows of a table, see :func:`peerdistill.csv_files.read_rows`.

    Splits may have other common names, see :func:`peerdistill.data.layout.split_called`.

    Raises:
        UserError: As there. Also if the table has no rows, or for an unknown split.
    """
    rows = [_row(row) for row in read_rows(table, ("path", "label"), optional=("split",))]
    if not rows:
        raise UserError(f"'{table}' has no rows below its first line")
    return rows


def find_labelled(table: Path, folder: Path, *, to_train: bool = True) -> dict[str, Pictures]:
    """Return the pictures of each split of a table; without a column ``split`` all are in "train".

    Class names are sorted, and so are the pictures: by class, then by path. They are the same as those of class folders
    that hold these files. A warning counts the pictures of the folder that the table does not name.

    Args:
        table: The table.
        folder: The folder to which paths are relative.
        to_train: Whether the pictures are for training. Otherwise one class is enough, and "train" may be missing.

    Raises:
        UserError: As :func:`read_labels`. Also if a file does not exist, or is in two classes or two splits; or if
            training has no pictures, fewer than two classes, or lacks a class of another split.
    """
    listing = list_folder(folder)
    rows = _each_once(table, _below_folder(table, folder, read_labels(table), listing), listing)
    splits = {name: [row for row in rows if (row.split or "train") == name] for name in _SPLITS}
    found = {name: _pictures(table, folder, name, part) for name, part in splits.items() if part}
    if to_train:
        _check_trainable(table, found, rows)
    unused = _unused(listing, rows)
    if unused:
        pictures = "1 picture" if len(unused) == 1 else f"{len(unused)} pictures"
        warn_each([f"{pictures} in '{folder}' not named by '{table}': not used ({some_of(unused, _MOST_SHOWN)})"])
    return found


def _row(row: Row) -> LabelRow:
    path, label, *named = row.values.values()
    split = split_called(named[0]) if named else None
    if named and split is None:
        raise UserError(f"{row.where} has the unknown split '{shortened(named[0])}': use train, val or test")
    return LabelRow(row.where, path, label, split)


def _below_folder(table: Path, folder: Path, rows: Sequence[LabelRow], listing: Listing) -> list[LabelRow]:
    """Return rows with paths relative to ``folder`` in POSIX form, if they are below it or were relative.

    Raises:
        UserError: Some of the files do not exist.
    """
    root = f"{folder.absolute()}{os.sep}"
    listed = set(listing.paths)

    def existing(path: str) -> str | None:
        name = os.path.normpath(path).removeprefix(root).replace(os.sep, "/")
        is_file = name in listed or os.path.isfile(os.path.join(folder, name))  # noqa: PTH113, PTH118 (a million)
        return name if is_file else None

    # The second form is that of a table that was written on Windows.
    names = [existing(row.path) or existing(row.path.replace("\\", "/")) for row in rows]
    missing = [row for row, name in zip(rows, names, strict=True) if name is None]
    if missing:
        shown = some_of([row.path for row in missing], _MOST_SHOWN)
        raise UserError(
            f"'{folder}' lacks {len(missing)} of {_count(len(rows), 'file')} in '{table}': {shown}, the first in "
            f"{missing[0].where}"
        )
    return [replace(row, path=name) for row, name in zip(rows, names, strict=True) if name is not None]


def _each_once(table: Path, rows: Sequence[LabelRow], listing: Listing) -> list[LabelRow]:
    """Return the first row of each file.

    Raises:
        UserError: A file has two labels or two splits.
    """
    listed = set(listing.paths)
    first: dict[str, LabelRow] = {}
    for row in rows:
        real = listing.real_path(row.path) if row.path in listed else os.path.realpath(listing.folder / row.path)
        known = first.setdefault(real, row)
        for name in ("label", "split"):
            before, now = getattr(known, name), getattr(row, name)
            if before != now:
                raise UserError(f"{row.where} gives '{row.path}' the {name} '{now}', {known.where} '{before}'")
    if len(first) < len(rows):
        warn_each([f"'{table}' names {_count(len(rows) - len(first), 'picture')} again: each is used once"])
    return list(first.values())


def _pictures(table: Path, folder: Path, split: str, rows: Iterable[LabelRow]) -> Pictures:
    ordered = sorted(rows, key=lambda row: (row.label, row.path))
    classes = tuple(row.label for row in ordered)
    shown = f"the {split} rows of '{table}'" if any(row.split for row in ordered) else f"'{table}'"
    return Pictures(
        folder, tuple(dict.fromkeys(classes)), tuple(row.path for row in ordered), classes=classes, source=shown
    )


def _check_trainable(table: Path, splits: dict[str, Pictures], rows: Iterable[LabelRow]) -> None:
    if "train" not in splits:
        raise UserError(f"'{table}' has no train row: its splits are {' and '.join(splits)}")
    known = dict.fromkeys(splits["train"].class_names)
    if len(known) < 2:
        raise UserError(
            f"{splits['train'].shown} has only one label, '{next(iter(known))}': training needs at least two"
        )
    strange = next((row for row in rows if row.label not in known), None)
    if strange is not None:
        raise UserError(f"{strange.where} has the label '{strange.label}', which no train row has")


def _unused(listing: Listing, rows: Iterable[LabelRow]) -> list[str]:
    """Return the pictures of the folder that no row names."""
    used = {row.path for row in rows}
    return sorted(path for path in listing.paths if path not in used and is_picture(path.rpartition("/")[2]))


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
