"""Training progress on the terminal. It is always there, so it has no name among the loggers."""

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from peerdistill.training.loggers.logger import Logger, StepReading

_SECONDS_BETWEEN_LINES = 60
_BAR_WIDTH = 20
_BAR_COLUMNS = _BAR_WIDTH + len(" 100% ")

# Optional fields of a line, in the order in which they are left out.
_PARTS, _SPEED, _TIME_LEFT = "parts", "speed", "time left"
_LEVELS_OF_DETAIL = ({_PARTS, _SPEED, _TIME_LEFT}, {_SPEED, _TIME_LEFT}, {_TIME_LEFT}, set[str]())


class ConsoleLog(Logger):
    """Prints a line per epoch and, within an epoch, a progress bar on a terminal or otherwise a line per minute.

    On a terminal, lines fit its width: the parts of the loss are left out first, then the speed, then the time left.

    If the console can no longer be written to (a closed terminal or pipe), training continues without output.

    Args:
        console: The console to write to.
        epochs: Epochs of the whole run.
        steps: Steps of the whole run.
        done: Steps of the run that were done before it was resumed.
    """

    def __init__(self, console: Console, *, epochs: int, steps: int, done: int = 0):
        self._console = console
        self._epochs = epochs
        self._steps = steps
        self._clock = _TimeLeft(done)
        self._images_per_second = 0.0
        self._loss: Mapping[str, float] = {}
        self._last_line = time.perf_counter()
        self._bar: Progress | None = None
        if console.is_terminal:
            text = TextColumn(
                "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")
            )
            columns = (BarColumn(_BAR_WIDTH), TaskProgressColumn(), text)
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=steps, completed=done)
            self._bar.start()

    def advance(self, step: int) -> None:
        """Update the progress bar, or print a line if the last one is a minute old."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.update(self._task, completed=step, description=self._progress(step, reserved=_BAR_COLUMNS))
        elif time.perf_counter() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._print(f"{self._progress(step)}  (step {step:,} of {self._steps:,})")

    def step(self, reading: StepReading) -> None:
        """Store speed and loss, and update the progress bar."""
        self._images_per_second, self._loss = reading.images_per_second, reading.loss
        if self._bar is not None:
            self.advance(reading.step)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Print the epoch's line."""
        width = len(str(self._epochs))
        accuracies = [] if record["validation"] is None else [f"validation: {_accuracy_text(record['validation'])}"]
        start = f"epoch {record['epoch']:>{width}}/{self._epochs}"
        self._print(self._line(start, record["loss"], accuracies, record["step"]))
        if self._bar is not None:
            with suppress(OSError):
                self._bar.update(self._task, completed=record["step"])

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.stop()

    def _progress(self, step: int, reserved: int = 0) -> str:
        epoch = 1 + (step - 1) * self._epochs // self._steps
        return self._line(f"epoch {epoch}/{self._epochs}", self._loss, [], step, reserved)

    def _line(
        self, start: str, loss: Mapping[str, float], accuracies: Sequence[str], step: int, reserved: int = 0
    ) -> str:
        """Return a line with all fields, or on a terminal with those that fit beside ``reserved`` columns."""
        optional = {_TIME_LEFT: self._clock.left(step, self._steps)}
        if self._images_per_second:
            optional[_SPEED] = f"{self._images_per_second:,.0f} images/s"
        room = self._console.width - reserved

        def line(shown: Collection[str]) -> str:
            more = [optional[name] for name in (_SPEED, _TIME_LEFT) if name in shown and name in optional]
            return "  ".join([start, *_loss_text(loss, with_parts=_PARTS in shown), *accuracies, *more])

        lines = [line(shown) for shown in _LEVELS_OF_DETAIL]
        if not self._console.is_terminal:
            return lines[0]
        return next((line for line in lines if len(line) <= room), lines[-1][: max(room, 0)])

    def _print(self, line: str) -> None:
        with suppress(OSError):
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._last_line = time.perf_counter()


class _TimeLeft:
    """Extrapolates the remaining time from the steps of this process."""

    def __init__(self, done: int):
        self._done = done
        self._start = time.perf_counter()

    def left(self, step: int, steps: int) -> str:
        taken = time.perf_counter() - self._start
        seconds = taken / max(1, step - self._done) * (steps - step)
        return f"{timedelta(seconds=round(seconds))} left"


def _accuracy_text(validation: Mapping[str, Any]) -> str:
    several = ("ensemble",) if len(validation["peers"]) > 1 else ()
    predictors = ("leader", *several, *(("ema",) if "ema" in validation else ()))
    return ", ".join(f"{name} {validation[name]['top1']:.2f} %" for name in predictors)


def _loss_text(loss: Mapping[str, float], *, with_parts: bool) -> list[str]:
    if not loss:
        return []
    parts = ", ".join(f"{name} {value:.3f}" for name, value in loss.items() if name != "total")
    return [f"loss {loss['total']:.3f}" + (f" ({parts})" if with_parts else "")]
