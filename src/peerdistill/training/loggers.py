"""Who is told how training goes: the terminal and TensorBoard."""

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
_BESIDE_TEXT = _BAR_WIDTH + len(" 100% ")

# What a line tells beside the epoch, the loss and the accuracies, from the most to the least.
_PARTS, _SPEED, _TIME_LEFT = "parts", "speed", "time left"
_MORE_OR_LESS = ({_PARTS, _SPEED, _TIME_LEFT}, {_SPEED, _TIME_LEFT}, {_TIME_LEFT}, set[str]())


@dataclass(frozen=True)
class StepReading:
    """What is known within an epoch.

    Attributes:
        epoch: Number of the epoch, from 1.
        step: Steps done since the start of the run.
        images_per_second: Speed since the last reading.
        lr: Learning rate of the next step.
        loss: Mean of the loss and its parts over the epoch so far.
    """

    epoch: int
    step: int
    images_per_second: float
    lr: float
    loss: Mapping[str, float]


@runtime_checkable
class Logger(Protocol):
    """Told of every step, every reading and every epoch."""

    def advance(self, step: int) -> None:
        """Note that ``step`` steps are done. Called after each of them: the device must not be waited for."""

    def step(self, reading: StepReading) -> None:
        """Take a reading within an epoch."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Take an epoch's line of ``metrics.jsonl``."""

    def close(self) -> None:
        """Training has ended, in whatever way."""


class TensorBoardLog:
    """Curves for TensorBoard.

    Where they can't be written, to a full disk for example, a note says so, once, and training goes on without them.

    Args:
        folder: Where the event files go.
        resumed_at: Step at which the run goes on; curves of an earlier try beyond it are hidden.
    """

    def __init__(self, folder: Path, resumed_at: int = 0):
        self._folder = folder
        self._resumed_at = resumed_at
        self._is_broken = False

    @cached_property
    def _writer(self) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter  # slow to import: training begins before

        _say_nothing_of_failing_writers()
        self._folder.mkdir(exist_ok=True)  # in a run's folder that is there: the writer would make that too
        # From `purge_step` on what was written before is hidden; the step that was reached still counts.
        return SummaryWriter(str(self._folder), purge_step=self._resumed_at + 1 if self._resumed_at else None)

    def advance(self, step: int) -> None:
        """Do nothing: curves are made of readings."""

    def step(self, reading: StepReading) -> None:
        """Write speed, rate and loss."""
        self._try(lambda: self._write_step(reading))

    def _write_step(self, reading: StepReading) -> None:
        self._writer.add_scalar("images_per_second", reading.images_per_second, reading.step)
        self._writer.add_scalar("lr", reading.lr, reading.step)
        for name, value in reading.loss.items():
            self._writer.add_scalar(f"loss/{name}", value, reading.step)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Write validation accuracies."""
        if record["validation"] is not None:
            self._try(lambda: self._write_epoch(record))

    def _write_epoch(self, record: Mapping[str, Any]) -> None:
        validation = record["validation"]
        voters = {f"peer{number}": peer for number, peer in enumerate(validation["peers"])}
        for name, accuracy in {**voters, "leader": validation["leader"], "ensemble": validation["ensemble"]}.items():
            self._writer.add_scalar(f"validation_top1/{name}", accuracy["top1"], record["step"])

    def close(self) -> None:
        """Write what is left."""
        if "_writer" in vars(self):
            self._try(self._writer.close)

    def _try(self, write: Callable[[], None]) -> None:
        if self._is_broken:
            return
        try:
            write()
        except OSError as error:
            self._is_broken = True
            if self._folder.parent.exists():  # else the trainer says that the run is gone
                text = f"{self._folder} can't be written: {cause(error)}; its curves end here"
                warnings.warn(text, PeerdistillWarning, stacklevel=3)


@cache
def _say_nothing_of_failing_writers() -> None:
    """Let no traceback be printed of an event writer's thread whose error the next call raises anyway."""
    from tensorboard.summary.writer.event_file_writer import _AsyncWriterThread

    before = threading.excepthook

    def hook(args: Any) -> None:
        if not (isinstance(args.thread, _AsyncWriterThread) and issubclass(args.exc_type, OSError)):
            before(args)

    threading.excepthook = hook


class ConsoleLog:
    """A line an epoch and, within it, a bar on a terminal or else a line a minute.

    On a terminal no line is longer than the terminal is wide: the parts of the loss are left out first, then the speed,
    then the time left, which the bar shows.

    Where the console can't be written to any more (a closed terminal or pipe), training goes on in silence.

    Args:
        console: Where to write.
        epochs: Epochs of the whole run.
        steps: Steps of the whole run.
        done: Steps done before.
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
        """Move the bar, or print a line where the last one is a minute old."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.update(self._task, completed=step, description=self._progress(step, beside=_BESIDE_TEXT))
        elif time.perf_counter() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._print(f"{self._progress(step)}  (step {step:,} of {self._steps:,})")

    def step(self, reading: StepReading) -> None:
        """Take speed and loss; they are shown with the next step."""
        self._images_per_second, self._loss = reading.images_per_second, reading.loss
        if self._bar is not None:
            self.advance(reading.step)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Print a line."""
        width = len(str(self._epochs))
        accuracies = [] if record["validation"] is None else [f"validation: {_accuracy_text(record['validation'])}"]
        start = f"epoch {record['epoch']:>{width}}/{self._epochs}"
        self._print(self._line(start, record["loss"], accuracies, record["step"]))
        if self._bar is not None:
            with suppress(OSError):
                self._bar.update(self._task, completed=record["step"])

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.stop()

    def _progress(self, step: int, beside: int = 0) -> str:
        epoch = 1 + (step - 1) * self._epochs // self._steps
        return self._line(f"epoch {epoch}/{self._epochs}", self._loss, [], step, beside)

    def _line(
        self, start: str, loss: Mapping[str, float], accuracies: Sequence[str], step: int, beside: int = 0
    ) -> str:
        """Return the longest line that leaves ``beside`` columns of a terminal free; anywhere else the whole line."""
        optional = {_TIME_LEFT: self._clock.left(step, self._steps)}
        if self._images_per_second:
            optional[_SPEED] = f"{self._images_per_second:,.0f} images/s"
        room = self._console.width - beside

        def line(shown: Collection[str]) -> str:
            more = [optional[name] for name in (_SPEED, _TIME_LEFT) if name in shown and name in optional]
            return "  ".join([start, *_loss_text(loss, with_parts=_PARTS in shown), *accuracies, *more])

        lines = [line(shown) for shown in _MORE_OR_LESS]
        if not self._console.is_terminal:
            return lines[0]
        return next((line for line in lines if len(line) <= room), lines[-1][: max(room, 0)])

    def _print(self, line: str) -> None:
        with suppress(OSError):
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._last_line = time.perf_counter()


class _TimeLeft:
    """Extrapolates from the steps done by this process."""

    def __init__(self, done: int):
        self._done = done
        self._start = time.perf_counter()

    def left(self, step: int, steps: int) -> str:
        taken = time.perf_counter() - self._start
        seconds = taken / max(1, step - self._done) * (steps - step)
        return f"{timedelta(seconds=round(seconds))} left"


def _accuracy_text(validation: Mapping[str, Any]) -> str:
    voters = ("leader", "ensemble") if len(validation["peers"]) > 1 else ("leader",)
    return ", ".join(f"{who} {validation[who]['top1']:.2f} %" for who in voters)


def _loss_text(loss: Mapping[str, float], *, with_parts: bool) -> list[str]:
    if not loss:
        return []
    parts = ", ".join(f"{name} {value:.3f}" for name, value in loss.items() if name != "total")
    return [f"loss {loss['total']:.3f}" + (f" ({parts})" if with_parts else "")]
