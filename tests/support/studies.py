"""Tiny studies on digits, and reproductions of them whose trainings run in forked processes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from peerdistill.study.plan import Cell, Study, load_study
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.runner.reproduce import Reproduction
from support.console import printed, silent_console
from support.forked_job import ForkedJob

ALONE = {"method": "baseline", "peers": 1}
TINY = {
    "title": "Tiny",
    "data": "digits",
    "seeds": 2,
    "equal_compute": False,
    "options": {
        "backbone": "resnet8",
        "epochs": 1,
        "batch_size": 20,
        "validation": 0,
        "subset": {"classes": 3, "per_class": 20},
    },
    "axes": {"method": {"Baseline": ALONE, "DML": {"method": "dml", "peers": 2}}},
}


def study(folder: Path, **changes: Any) -> Study:
    """Write a study file into ``folder``, with other values of its keys, and return the study."""
    options = {**TINY["options"], **changes.pop("options", {})}
    file = folder / "tiny.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({**TINY, "options": options, **changes}))
    return load_study(str(file))


class Session:
    """A reproduction in a folder, what it printed, and the cells that it trained.

    Args:
        study: The study.
        folder: Folder with the runs and the results.
        jobs: Number of trainings at a time.
        start: Starts a training.
    """

    def __init__(self, study: Study, folder: Path, jobs: int = 1, start: Callable[..., Any] = ForkedJob):
        self.runs, self.out = folder / "runs", folder / "results"
        self.words: list[Sequence[str]] = []
        self.processes: list[int] = []
        self._start = start
        self._console = silent_console()
        self._reproduction = Reproduction(
            study,
            study.datasets,
            runs=self.runs,
            out=self.out,
            console=self._console,
            jobs=jobs,
            start=self._started,
        )

    def run(self) -> Record:
        self._reproduction.run()
        return self._reproduction.record

    @property
    def printed(self) -> str:
        return printed(self._console)

    @property
    def folders(self):
        return self._reproduction.folders

    def _started(self, words: Sequence[str], log: Path, threads: int) -> Any:
        self.words.append(words)
        job = self._start(words, log, threads)
        self.processes.append(job.process)
        return job


def nothing_is_trained(words: Sequence[str], log: Path, threads: int) -> None:
    pytest.fail(f"{words} was started: {log}, {threads}")


def in_background(session: Session) -> int:
    """Run a session in a forked process, and return its number."""
    process = os.fork()
    if process == 0:
        code = 70
        try:
            session.run()
            code = 0
        except BaseException as error:
            code = getattr(error, "exit_code", 71)
        finally:
            os._exit(code)
    return process


def exit_code(process: int) -> int:
    """Wait for the end of a process."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def without_times(record: Record) -> list[dict[str, Any]]:
    """Return the cells of a record without what differs from one training to the next."""
    times = ("seconds", "cpu_seconds", "machine")
    return [{name: value for name, value in cell.as_dict().items() if name not in times} for cell in record.cells]


def statuses(record: Record) -> dict[str, str]:
    return {f"{cell.labels.get('method')} {cell.seed}": cell.status for cell in record.cells}


def cell_of(record: Record, method: str, seed: int = 0) -> CellRecord:
    (found,) = [cell for cell in record.cells if (cell.labels.get("method"), cell.seed) == (method, seed)]
    return found


def planned(study: Study, method: str, seed: int = 0) -> Cell:
    (found,) = [cell for cell in study.cells if (cell.labels.get("method"), cell.seed) == (method, seed)]
    return found
