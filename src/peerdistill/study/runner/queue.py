"""Trains cells in child processes: several at once, teachers before their students, each cell only once."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from peerdistill.study.plan import Cell
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.job import Claim, Job, Outcome, threads_of
from peerdistill.training.interrupts import InterruptRequest

_POLL_SECONDS = 0.1
_ASK_AGAIN_SECONDS = 2.0
_LONGEST_STOP_SECONDS = 60.0


@runtime_checkable
class Watcher(Protocol):
    """Who is told what happens to the cells."""

    def started(self, cell: Cell) -> None:
        """Note that the training of a cell has started."""

    def ended(self, cell: Cell, outcome: Outcome) -> None:
        """Note how a cell has ended; it may have been trained by another process."""

    def waiting(self, elsewhere: Sequence[Cell]) -> None:
        """Note that all cells that are left are trained by other processes, or wait for those."""

    def tick(self) -> None:
        """Show how far the running trainings are."""


@dataclass(frozen=True)
class _Running:
    cell: Cell
    job: Job
    claim: Claim


class Queue:
    """Trains the cells of a study that have no result yet.

    A cell that another process trains is left to it, and looked at again until it has ended. If a training fails, the
    others go on.

    Args:
        folders: Where the runs are.
        watcher: Who is told what happens.
        jobs: Number of trainings at a time.
        start: Starts a training, as :class:`Job` does.
    """

    def __init__(self, folders: Folders, watcher: Watcher, jobs: int = 1, start: Callable[..., Job] = Job):
        self._folders = folders
        self._watcher = watcher
        self._jobs = jobs
        self._job = start
        self._outcomes: dict[str, Outcome] = {}
        self._left: dict[str, Cell] = {}
        self._running: list[_Running] = []
        self._ask_again: dict[str, float] = {}

    def train(self, cells: Iterable[Cell]) -> dict[str, Outcome]:
        """Train cells, and before them their teachers that have no run, and return how each ended, by name.

        Raises:
            Interrupted: After Ctrl-C, SIGTERM or SIGHUP. The trainings have written checkpoints.
        """
        for cell in cells:
            self._add(cell)
        with InterruptRequest() as interrupt:
            try:
                while (self._left or self._running) and not interrupt.requested:
                    self._collect()
                    self._start()
                    self._watcher.tick()
                    time.sleep(_POLL_SECONDS)
            finally:
                self._stop()
            self._collect()
            interrupt.end_if_requested()
        return self._outcomes

    def _add(self, cell: Cell) -> None:
        if cell.teacher is not None and self._folders.status(cell.teacher) != "finished":
            self._add(cell.teacher)
        if cell.name not in self._outcomes:
            self._left.setdefault(cell.name, cell)

    def _collect(self) -> None:
        """Take note of the trainings that have ended."""
        for running in list(self._running):
            outcome = running.job.poll()
            if outcome is not None:
                self._running.remove(running)
                running.claim.release()
                if outcome.status == "failed" and self._folders.is_taken(running.cell):
                    self._left[running.cell.name] = running.cell  # another process was faster
                else:
                    self._end(running.cell, outcome)

    def _start(self) -> None:
        """Start trainings while there is room for more."""
        for cell in list(self._left.values()):
            if len(self._running) >= self._jobs:
                return
            if self._is_ready(cell) and time.monotonic() >= self._ask_again.get(cell.name, 0):
                self._start_one(cell)
        if self._left and not self._running:
            self._watcher.waiting(list(self._left.values()))

    def _is_ready(self, cell: Cell) -> bool:
        """Return whether the teacher of a cell is there; a cell whose teacher failed has failed too."""
        if cell.teacher is None or self._folders.status(cell.teacher) == "finished":
            return True
        of_teacher = self._outcomes.get(cell.teacher.name)
        if of_teacher is not None:
            del self._left[cell.name]
            self._end(cell, Outcome("failed", f"its teacher {cell.teacher.name} failed: {of_teacher.reason}"))
        return False

    def _start_one(self, cell: Cell) -> None:
        claim = self._folders.claim(cell)
        if not claim.take():
            self._ask_again[cell.name] = time.monotonic() + _ASK_AGAIN_SECONDS
            return
        if self._folders.is_taken(cell):
            claim.release()
            self._ask_again[cell.name] = time.monotonic() + _ASK_AGAIN_SECONDS
            return
        del self._left[cell.name]
        if self._folders.status(cell) == "finished":
            claim.release()
            self._end(cell, Outcome("finished"))
            return
        threads = threads_of(self._jobs * self._folders.devices)
        job = self._job(self._folders.words(cell), self._folders.log(cell), threads)
        self._running.append(_Running(cell, job, claim))
        self._watcher.started(cell)

    def _end(self, cell: Cell, outcome: Outcome) -> None:
        self._outcomes[cell.name] = outcome
        self._watcher.ended(cell, outcome)

    def _stop(self) -> None:
        """Leave no child behind, whatever happens: each is asked to write a checkpoint first."""
        try:
            self._ask_to_stop()
        except KeyboardInterrupt:  # the second Ctrl-C: the children end at once
            self._ask_to_stop()

    def _ask_to_stop(self) -> None:
        for running in self._running:
            running.job.stop()
        self._wait()

    def _wait(self) -> None:
        """Wait for the end of all children; those that do not end in a minute are killed."""
        deadline = time.monotonic() + _LONGEST_STOP_SECONDS
        for running in self._running:
            if not running.job.ends_within(deadline - time.monotonic()):
                running.job.kill()
