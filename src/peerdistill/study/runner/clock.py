"""How long cells take, judged by those that have ended."""

from collections.abc import Iterable, Mapping
from statistics import fmean

from peerdistill.study.plan import Cell


class Clock:
    """Estimates the time of trainings from that of others.

    A cell takes the time to start (imports, data, evaluation at the end) and, per epoch, as long as the same cell with
    other seeds did; if there is none, as long as the mean cell.
    """

    def __init__(self) -> None:
        self._of_digest: dict[str, list[float]] = {}
        self._starts: list[float] = []

    def note(self, cell: Cell, training: float, start: float | None = None) -> None:
        """Note how many seconds a cell has taken.

        Args:
            cell: The cell.
            training: Seconds of its epochs.
            start: Seconds of everything else, if they are known.
        """
        self._of_digest.setdefault(cell.digest, []).append(training / max(1, cell.epochs))
        if start is not None:
            self._starts.append(max(0.0, start))

    @property
    def start(self) -> float:
        """Seconds of a training beside its epochs."""
        return fmean(self._starts) if self._starts else 0.0

    def seconds_of(self, cell: Cell) -> float | None:
        """Return the seconds that a cell will take, or None before the first one has ended."""
        if not self._of_digest:
            return None
        every = [seconds for found in self._of_digest.values() for seconds in found]
        return self.start + cell.epochs * fmean(self._of_digest.get(cell.digest, every))

    def left(self, waiting: Iterable[Cell], running: Mapping[Cell, tuple[float, float]], jobs: int) -> float | None:
        """Return the seconds until all cells have ended, or None if nothing is known yet.

        Args:
            waiting: Cells that have not started.
            running: Seconds since the start of each running cell, and the fraction of its epochs that it has done in
                them.
            jobs: Number of trainings at a time.
        """
        found = [self.seconds_of(cell) for cell in waiting]
        for cell, (seconds, done) in running.items():
            start = min(self.start, seconds)
            whole = start + (seconds - start) / done if done > 0 else self.seconds_of(cell)
            found.append(None if whole is None else max(0.0, whole - seconds))
        known = [seconds for seconds in found if seconds is not None]
        if len(known) < len(found):
            return None
        return max([sum(known) / jobs, *known], default=0.0)
