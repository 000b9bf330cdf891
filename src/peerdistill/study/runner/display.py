"""What ``peerdistill reproduce`` shows while it trains: cells done and left, epochs of each training, time left."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from peerdistill.study.plan import Cell
from peerdistill.study.runner.clock import Clock
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.job import Outcome

_LOOK_SECONDS = 1.0


@dataclass
class _Shown:
    """A running training: its bar, when it was started, and the epochs that it had done before and has done now."""

    bar: TaskID
    since: float
    before: int
    epochs: int

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since


class Display:
    """Shows bars on a terminal, and one line for each cell that ends.

    Args:
        console: Where to show them.
        folders: Where the runs are.
        clock: Estimates the time that is left.
        jobs: Number of trainings at a time.
    """

    def __init__(self, console: Console, folders: Folders, clock: Clock, jobs: int):
        self._console = console
        self._folders = folders
        self._clock = clock
        self._jobs = jobs
        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
        )
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._all = self._bars.add_task("", total=None, note="", visible=False)
        self._running: dict[Cell, _Shown] = {}
        self._left: dict[str, Cell] = {}
        self._looked = 0.0
        self._said = ""

    @contextmanager
    def training(self, cells: Sequence[Cell]) -> Iterator[None]:
        """Show the training of cells, each of which is named once."""
        self._left = {cell.name: cell for cell in cells}
        self._bars.update(self._all, description="cells", total=len(cells), completed=0, visible=bool(cells))
        with self._bars:
            yield
        self._running.clear()

    def say(self, text: str, style: str = "") -> None:
        """Print a line, unless it is the last one again."""
        if text != self._said:
            self._console.print(text, style=style, soft_wrap=True)
            self._said = text

    def started(self, cell: Cell) -> None:
        """Show a cell that is being trained."""
        before = self._epochs_of(cell)
        bar = self._bars.add_task(cell.name, total=cell.epochs, completed=before, note="epochs")
        self._running[cell] = _Shown(bar, time.monotonic(), before, before)
        self.say(f"{'resuming' if before else 'training'} {cell.name}")

    def ended(self, cell: Cell, outcome: Outcome) -> float | None:
        """Show how a cell has ended, and return the seconds of its whole training; None if only part of it ran here."""
        shown = self._running.pop(cell, None)
        seconds = ""
        if shown is not None:
            self._bars.remove_task(shown.bar)
            seconds = f" in {timedelta(seconds=round(shown.seconds))}"
        self._left.pop(cell.name, None)
        self._bars.advance(self._all)
        reason = f": {outcome.reason}" if outcome.reason else ""
        style = "red" if outcome.status == "failed" else ""
        self.say(f"{outcome.status} {cell.name}{seconds}{reason}{self._what_is_left()}", style=style)
        return None if shown is None or shown.before else shown.seconds

    def tick(self) -> None:
        """Look how far the running trainings are, at most once a second."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for cell, shown in self._running.items():
            shown.epochs = self._epochs_of(cell)
            self._bars.update(shown.bar, completed=shown.epochs)
        left = self._time_left()
        self._bars.update(self._all, note=f"{left} left" if left else "")

    def _what_is_left(self) -> str:
        if not self._left:
            return ""
        runs = "1 run" if len(self._left) == 1 else f"{len(self._left)} runs"
        return f"; {', '.join(filter(None, (f'{runs} left', self._time_left())))}"

    def _time_left(self) -> str:
        waiting = [cell for cell in self._left.values() if cell not in self._running]
        running = {
            cell: (shown.seconds, (shown.epochs - shown.before) / max(1, cell.epochs - shown.before))
            for cell, shown in self._running.items()
        }
        seconds = self._clock.left(waiting, running, self._jobs)
        return "" if seconds is None else f"about {timedelta(seconds=round(seconds))}"

    def _epochs_of(self, cell: Cell) -> int:
        """Return how many epochs a run has done: its lines of metrics."""
        try:
            return self._folders.run_of(cell).metrics_file.read_bytes().count(b"\n")
        except OSError:
            return 0
