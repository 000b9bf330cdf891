"""Loggers of training progress: the terminal and TensorBoard."""

import threading
import time
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.table import Column

from peerdistill.errors import PeerdistillWarning, cause

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_SECONDS_BETWEEN_LINES = 60
_BAR_WIDTH = 20
_BAR_COLUMNS = _BAR_WIDTH + len(" 100% ")

# Optional fields of a line, in the order in which they are left out.
_PARTS, _SPEED, _TIME_LEFT = "parts", "speed", "time left"
_LEVELS_OF_DETAIL = ({_PARTS, _SPEED, _TIME_LEFT}, {_SPEED, _TIME_LEFT}, {_TIME_LEFT}, set[str]())


@dataclass(frozen=True)
class StepReading:
    """Progress within an epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        step: Steps since the start of the run.
        images_per_second: Training speed since the last reading.
        lr: Learning rate of the next step.
        loss: Mean of the loss ("total") and its parts over the epoch so far.
    """

    epoch: int
    step: int
    images_per_second: float
    lr: float
    loss: Mapping[str, float]


@runtime_checkable
class Logger(Protocol):
    """Receives every step, reading and epoch."""

    def advance(self, step: int) -> None:
        """Called after every step with the number of steps so far. It must not wait for the device."""

    def step(self, reading: StepReading) -> None:
        """Called with a reading every ``log_every`` steps."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Called after every epoch with its line of ``metrics.jsonl``."""

    def close(self) -> None:
        """Called when training ends, also after an error."""


class TensorBoardLog:
    """Curves for TensorBoard.

    If they cannot be written, for example because the disk is full, one warning is shown and training continues without
    them.

    Args:
        folder: Folder of the event files.
        resumed_at: Step at which the run is resumed. Later points of the interrupted run are hidden.
    """

    def __init__(self, folder: Path, resumed_at: int = 0):
        self._folder = folder
        self._resumed_at = resumed_at
        self._is_broken = False

    @cached_property
    def _writer(self) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter  # slow import, delayed until the first reading

        _silence_failing_writers()
        self._folder.mkdir(exist_ok=True)  # SummaryWriter would also create a run folder that was deleted
        # Points from `purge_step` on are hidden; the step of the checkpoint itself is kept.
        return SummaryWriter(str(self._folder), purge_step=self._resumed_at + 1 if self._resumed_at else None)

    def advance(self, step: int) -> None:
        """Do nothing: only readings are plotted."""

    def step(self, reading: StepReading) -> None:
        """Write speed, learning rate and loss."""
        self._try(lambda: self._write_step(reading))

    def _write_step(self, reading: StepReading) -> None:
        self._writer.add_scalar("images_per_second", reading.images_per_second, reading.step)
        self._writer.add_scalar("lr", reading.lr, reading.step)
        for name, value in reading.loss.items():
            self._writer.add_scalar(f"loss/{name}", value, reading.step)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Write the validation accuracies."""
        if record["validation"] is not None:
            self._try(lambda: self._write_epoch(record))

    def _write_epoch(self, record: Mapping[str, Any]) -> None:
        validation = record["validation"]
        peers = {f"peer{number}": peer for number, peer in enumerate(validation["peers"])}
        for name, accuracy in {**peers, "leader": validation["leader"], "ensemble": validation["ensemble"]}.items():
            self._writer.add_scalar(f"validation_top1/{name}", accuracy["top1"], record["step"])

    def close(self) -> None:
        """Flush and close the file."""
        if "_writer" in vars(self):
            self._try(self._writer.close)

    def _try(self, write: Callable[[], None]) -> None:
        if self._is_broken:
            return
        try:
            write()
        except OSError as error:
            self._is_broken = True
            if self._folder.parent.exists():  # otherwise the trainer reports that the run folder is gone
                text = f"cannot write {self._folder}: {cause(error)}; training continues without TensorBoard curves"
                warnings.warn(text, PeerdistillWarning, stacklevel=3)


@cache
def _silence_failing_writers() -> None:
    """Suppress the traceback of TensorBoard's writer thread. The next call raises the same error."""
    from tensorboard.summary.writer.event_file_writer import _AsyncWriterThread

    before = threading.excepthook

    def hook(args: Any) -> None:
        if not (isinstance(args.thread, _AsyncWriterThread) and issubclass(args.exc_type, OSError)):
            before(args)

    threading.excepthook = hook


class ConsoleLog:
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
    predictors = ("leader", "ensemble") if len(validation["peers"]) > 1 else ("leader",)
    return ", ".join(f"{name} {validation[name]['top1']:.2f} %" for name in predictors)


def _loss_text(loss: Mapping[str, float], *, with_parts: bool) -> list[str]:
    if not loss:
        return []
    parts = ", ".join(f"{name} {value:.3f}" for name, value in loss.items() if name != "total")
    return [f"loss {loss['total']:.3f}" + (f" ({parts})" if with_parts else "")]
