"""``metrics.csv`` in the run folder: one row per epoch, for spreadsheets."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peerdistill.files import write_csv
from peerdistill.training.loggers.flat import flattened
from peerdistill.training.loggers.logger import LoggedRun, Logger, LoggerKind


class CsvLog(Logger):
    """Writes the lines of ``metrics.jsonl`` as a table. Nested values have columns such as ``validation.leader.top1``.

    The whole file is written after every epoch, so it never holds an incomplete row, or one of an epoch that a resumed
    run repeats. The columns of a run that logs it only since it was resumed start at its first epoch, too.

    Args:
        run: The run.
    """

    def __init__(self, run: LoggedRun):
        self._file = run.folder / "metrics.csv"
        self._rows = [_row(record) for record in run.records]
        self._write_if_begun()

    @property
    def file(self) -> Path:
        """The file."""
        return self._file

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Add the row of an epoch."""
        self._rows.append(_row(record))
        self._write_if_begun()

    def _write_if_begun(self) -> None:
        if self._rows:
            columns = list(dict.fromkeys(name for row in self._rows for name in row))
            write_csv(self._file, columns, ([row.get(name, "") for name in columns] for row in self._rows))
        else:
            self._file.unlink(missing_ok=True)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flattened(record, ".").items() if value is not None}


LOGGER = LoggerKind("csv", "metrics.csv in the run folder, one row per epoch", open=CsvLog)
