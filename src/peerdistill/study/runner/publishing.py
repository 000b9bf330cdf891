"""The results of a study as files: tables for people and programs."""

import io
from pathlib import Path

from rich.console import Console

from peerdistill.files import write_whole
from peerdistill.study.plan import Study
from peerdistill.study.record import Record
from peerdistill.study.results import Table, summarise, table_of
from peerdistill.study.results.renderers import rendered, suffixes, terminal

_TABLES = "results"
_NAMES = {".json": "tables.json"}  # results.json is the record
_WIDTH = 160


def publish(study: Study, record: Record, folder: Path) -> Table:
    """Write what a study has found into a folder, and return its table.

    The files are ``results.md``, ``results.csv``, ``results.txt`` and ``tables.json``, and ``results.png`` if the study
    asks for a figure and has results for it.

    Raises:
        WriteError: A file can't be written.
    """
    table = table_of(summarise(study, record))
    for suffix in suffixes():
        write_whole(folder / _NAMES.get(suffix, f"{_TABLES}{suffix}"), rendered(table, suffix))
    text = io.StringIO()
    Console(file=text, width=_WIDTH).print(terminal.render(table))
    write_whole(folder / f"{_TABLES}.txt", text.getvalue())
    if study.figure is not None:
        from peerdistill.study.results.plots import has_points, plot  # imports matplotlib

        if has_points(study, record):
            plot(study, record, folder / f"{_TABLES}.png")
    return table
