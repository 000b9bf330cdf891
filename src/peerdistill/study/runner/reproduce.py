"""A study from its cells to its record: what is missing is trained, and every result is kept at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from peerdistill.errors import UserError
from peerdistill.runs.run import Run
from peerdistill.study.analyses import analyse
from peerdistill.study.plan import Cell, Place, Study
from peerdistill.study.record import CellRecord, Record, Status
from peerdistill.study.record.from_run import finished_cell
from peerdistill.study.results import Table, extra_cells
from peerdistill.study.results.images import different_images
from peerdistill.study.runner.clock import Clock
from peerdistill.study.runner.data import missing_data
from peerdistill.study.runner.display import Display
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.job import Job, Outcome
from peerdistill.study.runner.publishing import publish
from peerdistill.study.runner.queue import Queue
from peerdistill.training.interrupts import Interrupted


class Reproduction:
    """A study that is being trained into a folder of runs, and recorded in another folder.

    Args:
        study: The study.
        places: Where the data are, by data set.
        runs: Folder of the runs.
        out: Folder of the record.
        console: Where progress is shown.
        jobs: Number of trainings at a time.
        devices: Number of devices of each training.
        download: Download built-in data sets that are missing.
        start: Starts a training, as :class:`Job` does.

    Raises:
        UserError: ``out`` holds the record of another study or scale, or a damaged one.
    """

    def __init__(
        self,
        study: Study,
        places: Mapping[str, Place],
        *,
        runs: Path,
        out: Path,
        console: Console,
        jobs: int = 1,
        devices: int = 1,
        download: bool = False,
        start: Callable[..., Job] = Job,
    ):
        self.study = study
        self.out = out
        self.folders = Folders(runs, places, devices)
        self._download = download
        self._cells: dict[str, list[Cell]] = {}
        self._clock = Clock()
        self._display = Display(console, self.folders, self._clock, jobs)
        self._queue = Queue(self.folders, self, jobs, start)
        self._warned_of: set[str] = set()
        self.record = self._record_so_far()

    def run(self) -> Table:
        """Train what is missing, analyse the runs, write the results, and return their table.

        Plain networks of equal compute come second: how long they are trained depends on the time of the others.

        Raises:
            Interrupted: After Ctrl-C, SIGTERM or SIGHUP. The trainings have written checkpoints.
        """
        try:
            self._train(self._missing(self.study.cells))
            self._train(self._missing(extra_cells(self.study, self.record)))
        except Interrupted:
            publish(self.study, self.record, self.out)
            raise
        return self._published()

    def collect(self) -> Table:
        """Analyse the runs that are finished, write the results, and return their table. Nothing is trained."""
        self._missing(self.study.cells)
        self._missing(extra_cells(self.study, self.record))
        return self._published()

    def _published(self) -> Table:
        self._analyse()
        return publish(self.study, self.record, self.out)

    def results(self) -> list[CellRecord]:
        """Return what is recorded of the cells of this study, each run once."""
        names = dict.fromkeys(self._cells)
        return [found for name in names if (found := self.record.find(name)) is not None]

    def _missing(self, cells: Sequence[Cell]) -> list[Cell]:
        """Return the cells that are to be trained; all others are recorded, finished or without data."""
        for cell in cells:
            places = self._cells.setdefault(cell.name, [])
            if cell not in places:
                places.append(cell)
        for name, folder in self.folders.adopt(cells).items():
            self._display.say(f"{folder.name} is the run of {name}")
        missing = [cell for cell in unique(cells) if not self._is_finished(cell)]
        without = missing_data(missing, self.folders.places, download=self._download) if missing else {}
        for name, sentence in without.items():
            self._display.say(f"no data for {name}: {sentence}", style="yellow")
        self._keep(record for cell in missing for record in self._unfinished(cell, without.get(cell.dataset)))
        return [cell for cell in missing if cell.dataset not in without]

    def _train(self, cells: Sequence[Cell]) -> None:
        with self._display.training(cells):
            self._queue.train(cells)

    def _is_finished(self, cell: Cell) -> bool:
        """Return whether a cell has a result, after that result was recorded for all its places in the study."""
        known = self.record.find(cell.name)
        if known is None or not known.finished:
            if self.folders.status(cell) != "finished" or self.folders.is_taken(cell):
                return False
            self._note(cell, "finished")
            known = self.record.find(cell.name)
        else:
            self._keep(self._places_of(cell, known))
        if known is not None and known.seconds is not None:
            self._clock.note(cell, known.seconds)
        return known is not None and known.finished

    def _analyse(self) -> None:
        """Analyse the runs that are not analysed yet, if the study asks for it."""
        for cell in unique(self.study.cells) if self.study.analyses else ():
            known = self.record.find(cell.name)
            run = self.folders.run_of(cell)
            if known is None or not known.finished or not run.exists:
                continue
            names = [name for name in self.study.analyses if name not in known.analyses]
            if names and cell.role != "teacher":
                self._display.say(f"analysing {cell.name}: {', '.join(names)}")
                found = {name: result.get("figures", {}) for name, result in analyse(run, names).items()}
                self._keep(self._places_of(cell, replace(known, analyses={**known.analyses, **found})))

    def started(self, cell: Cell) -> None:
        """Show that a cell is being trained."""
        self._display.started(cell)

    def ended(self, cell: Cell, outcome: Outcome) -> None:
        """Record how a cell has ended."""
        whole = self._display.ended(cell, outcome)
        self._note(cell, outcome.status, outcome.reason)
        self._warn_of_different_images()
        known = self.record.find(cell.name)
        if whole is not None and known is not None and known.seconds is not None:
            self._clock.note(cell, known.seconds, whole - known.seconds)

    def _warn_of_different_images(self) -> None:
        """Say once for every data set that the runs had different images."""
        sentences = different_images(cell for cell in self.results() if cell.finished)
        for dataset in sorted(sentences.keys() - self._warned_of):
            self._display.say(sentences[dataset], style="red")
        self._warned_of |= sentences.keys()

    def waiting(self, elsewhere: Sequence[Cell]) -> None:
        """Show that other processes train what is left."""
        names = ", ".join(cell.name for cell in elsewhere)
        self._display.say(f"waiting for other processes, which train {names}")

    def tick(self) -> None:
        """Show how far the trainings are."""
        self._display.tick()

    def _unfinished(self, cell: Cell, no_data: str | None) -> list[CellRecord]:
        status = self.folders.status(cell) if no_data is None else "no data"
        return self._places_of(cell, planned_cell(cell, status, reason=no_data))

    def _note(self, cell: Cell, status: Status, reason: str | None = None) -> None:
        """Record the status of a cell, and its result if it is finished."""
        noted = planned_cell(cell, status, reason=reason)
        if status == "finished":
            noted = self._with_result(noted, self.folders.run_of(cell))
        self._keep(self._places_of(cell, noted))

    def _places_of(self, cell: Cell, noted: CellRecord) -> list[CellRecord]:
        """Return what is known of a run for every place that it has in the study."""
        places = self._cells.get(cell.name, [cell])
        return [replace(noted, labels=dict(one.labels), role=one.role) for one in places]

    def _with_result(self, cell: CellRecord, run: Run) -> CellRecord:
        try:
            return finished_cell(cell, run, self.out)
        except UserError as error:
            self._display.say(f"{cell.name}: {error}", style="red")
            return replace(cell, status="failed", reason=str(error))

    def _keep(self, cells: Iterable[CellRecord]) -> None:
        found = tuple(cells)
        if any(cell not in self.record.cells for cell in found):
            self.record = replace(self.record, cells=found).write(self.out)

    def _record_so_far(self) -> Record:
        scale = self.study.scale
        statement = {name: scale.statement(name) for name in self.study.datasets}
        new = Record(self.study.name, scale.name, statement)
        before = Record.read(self.out)
        if before is None:
            return new
        before.require_same(new.study, new.scale)
        return before.merged(replace(new, folder=self.out))


def planned_cell(cell: Cell, status: Status, **known: Any) -> CellRecord:
    """Return the record of a cell without a result.

    Args:
        cell: The cell.
        status: How far it is.
        known: Further values of the record.
    """
    return CellRecord(
        name=cell.name,
        labels=dict(cell.labels),
        kind=cell.kind,
        role=cell.role,
        seed=cell.seed,
        status=status,
        options=dict(cell.options),
        epochs=cell.epochs,
        **known,
    )


def unique(cells: Iterable[Cell]) -> list[Cell]:
    """Return each run once, in the order of its first cell."""
    return list({cell.name: cell for cell in cells}.values())
