"""A folder with ``results.json`` and, for every cell, its log and the accuracies of its episodes."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from peerdistill.config.typed import typed
from peerdistill.errors import Failure, UserError, reading
from peerdistill.files import write_error, write_whole
from peerdistill.study.record.cell import CellRecord

RESULTS_FILE = "results.json"
_CELLS = "cells"
_LOCK = ".results.lock"
_LONGEST_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Record:
    """What the cells of a study measured.

    Attributes:
        study: Title of the study.
        scale: Name of the scale.
        statement: How the scale differs from the full experiment, in words, for every data set.
        cells: The cells.
        written: When it was written, in UTC.
        folder: The folder that holds it; None if it was not read from a file.

    Example:
        >>> Record("Table 2", "smoke", {}).cells
        ()
    """

    study: str
    scale: str
    statement: Mapping[str, str]
    cells: tuple[CellRecord, ...] = ()
    written: str = ""
    folder: Path | None = field(default=None, compare=False)

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """Return the record in a folder, or None if there is none.

        Raises:
            UserError: The file is damaged.
        """
        file = folder / RESULTS_FILE
        if not file.exists():
            return None
        with reading(f"{file} is not a record of a study"):
            values = json.loads(file.read_text(encoding="utf-8"))
            about = [typed(values[name], str, name) for name in ("study", "scale", "written")]
            statement = typed(values["statement"], dict[str, str], "statement")
            cells = tuple(CellRecord.from_dict(cell) for cell in values["cells"])
        return cls(about[0], about[1], statement, cells, about[2], folder)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        about = {"study": self.study, "scale": self.scale, "statement": dict(self.statement), "written": self.written}
        return {**about, "cells": [cell.as_dict() for cell in self.cells]}

    def find(self, name: str) -> CellRecord | None:
        """Return a cell by the name of its run, a finished one if there are several, or None."""
        found = [cell for cell in self.cells if cell.name == name]
        return next((cell for cell in found if cell.finished), found[0] if found else None)

    def merged(self, newer: "Record") -> "Record":
        """Return this record with the cells of a newer one. A result is only replaced by a result.

        The result of a run counts for every place that the run has in the record.
        """
        cells = {cell.place: cell for cell in self.cells}
        for cell in newer.cells:
            before = cells.get(cell.place)
            if before is None or cell.finished or not before.finished:
                cells[cell.place] = _with_analyses_of(before, cell)
        results = {cell.name: cell for cell in (*self.cells, *newer.cells) if cell.finished}
        filled = (cell if cell.finished else _filled(cell, results.get(cell.name)) for cell in cells.values())
        statement = {**self.statement, **newer.statement}
        return replace(newer, statement=statement, cells=tuple(filled))

    def write(self, folder: Path) -> "Record":
        """Merge this record into the one in a folder, and return what the folder then holds.

        Several processes may write to the same folder.

        Raises:
            UserError: The folder holds the record of another study or scale, or a damaged one.
            WriteError: The file can't be written.
        """
        file = folder / RESULTS_FILE
        with _alone(folder):
            before = self.read(folder)
            if before is not None:
                before.require_same(self.study, self.scale)
            merged = self if before is None else before.merged(self)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            written = replace(merged, written=now, folder=folder)
            if before is None or before.cells != written.cells or before.statement != written.statement:
                write_whole(file, json.dumps(written.as_dict(), indent=1) + "\n")
            return written

    def require_same(self, study: str, scale: str) -> None:
        """Raise UserError if this is the record of another study or scale."""
        if (self.study, self.scale) != (study, scale):
            raise UserError(
                f"{self.folder} holds the results of '{self.study}' at scale {self.scale}, found '{study}' at scale "
                f"{scale}: choose another folder with --out"
            )

    def log(self, name: str) -> list[dict[str, Any]]:
        """Return what the run of a cell logged in every epoch; it is empty if it was not kept."""
        return self._beside(name).get("log", [])

    def environment(self, name: str) -> dict[str, Any]:
        """Return the machine and the packages of the run of a cell; empty if they were not kept."""
        return self._beside(name).get("environment", {})

    def episodes(self, name: str) -> dict[str, np.ndarray]:
        """Return the accuracies of the leader of a few-shot cell in percent, (episodes,), by column."""
        file = None if self.folder is None else episodes_file(self.folder, name)
        if file is None or not file.exists():
            return {}
        with reading(f"cannot read {file}"), np.load(file, allow_pickle=False) as content:
            return {column: content[column] for column in content.files}

    def _beside(self, name: str) -> dict[str, Any]:
        file = None if self.folder is None else log_file(self.folder, name)
        if file is None or not file.exists():
            return {}
        with reading(f"cannot read {file}"):
            return dict(json.loads(file.read_text(encoding="utf-8")))


def log_file(folder: Path, name: str) -> Path:
    """Return the file that holds the log and the environment of a cell."""
    return folder / _CELLS / f"{name}.json"


def episodes_file(folder: Path, name: str) -> Path:
    """Return the file that holds the accuracies of a few-shot cell in every episode."""
    return folder / _CELLS / f"{name}.npz"


def write_log(folder: Path, name: str, environment: Mapping[str, Any], log: list[dict[str, Any]]) -> None:
    """Keep the log and the environment of the run of a cell, one line per epoch."""
    lines = ",\n".join(json.dumps(line) for line in log)
    text = f'{{"environment": {json.dumps(environment)},\n"log": [\n{lines}\n]}}\n'
    _write_beside(log_file(folder, name), text.encode())


def write_episodes(folder: Path, name: str, accuracies: Mapping[str, np.ndarray]) -> None:
    """Keep the accuracies of the leader of a few-shot cell in percent, (episodes,), by column."""
    content = io.BytesIO()
    arrays: dict[str, Any] = {column: values.astype(np.float32) for column, values in accuracies.items()}
    np.savez_compressed(content, **arrays)
    _write_beside(episodes_file(folder, name), content.getvalue())


def _write_beside(file: Path, content: bytes) -> None:
    _make(file.parent)
    write_whole(file, content, shared=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Exclude other processes that write the record in a folder, which is created if it is missing."""
    _make(folder)
    file = folder / _LOCK
    lock = FileLock(file, timeout=_LONGEST_WAIT_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise Failure(f"{file} has been held by another process for a minute") from error
    except (NotImplementedError, OSError):
        pass  # a file system without locks; if the folder can't be written to, writing the record says so
    try:
        yield
    finally:
        if lock.is_locked:
            file.unlink(missing_ok=True)  # a process that waits for the lock notices, and opens a new file
            lock.release()


def _filled(cell: CellRecord, result: CellRecord | None) -> CellRecord:
    """Return a cell with the result of its run, which stands in another place."""
    return cell if result is None else replace(result, labels=cell.labels, role=cell.role)


def _with_analyses_of(before: CellRecord | None, cell: CellRecord) -> CellRecord:
    """Return a cell with the analyses and multiply-adds that are known from before and were not computed again."""
    if before is None or not before.finished:
        return cell
    multiply_adds = before.multiply_adds if cell.multiply_adds is None else cell.multiply_adds
    return replace(cell, analyses={**before.analyses, **cell.analyses}, multiply_adds=multiply_adds)
