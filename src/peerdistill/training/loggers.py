"""Who is told how training goes: the terminal and TensorBoard."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_SECONDS_BETWEEN_LINES = 60


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
    """Told of every reading and every epoch."""

    def step(self, reading: StepReading) -> None:
        """Take a reading within an epoch."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Take an epoch's line of ``metrics.jsonl``."""

    def close(self) -> None:
        """Training has ended, in whatever way."""


class TensorBoardLog:
    """Curves for TensorBoard.

    Args:
        folder: Where the event files go.
        resumed_at: Step at which the run goes on; curves of an earlier try beyond it are hidden.
    """

    def __init__(self, folder: Path, resumed_at: int = 0):
        self._folder = folder
        self._resumed_at = resumed_at

    @cached_property
    def _writer(self) -> "SummaryWriter":
        from torch.utils.tensorboard import SummaryWriter  # slow to import: training begins before

        # From `purge_step` on what was written before is hidden; the step that was reached still counts.
        return SummaryWriter(str(self._folder), purge_step=self._resumed_at + 1 if self._resumed_at else None)

    def step(self, reading: StepReading) -> None:
        """Write speed, rate and loss."""
        self._writer.add_scalar("images_per_second", reading.images_per_second, reading.step)
        self._writer.add_scalar("lr", reading.lr, reading.step)
        for name, value in reading.loss.items():
            self._writer.add_scalar(f"loss/{name}", value, reading.step)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Write validation accuracies."""
        validation = record["validation"]
        if validation is None:
            return
        voters = {f"peer{number}": peer for number, peer in enumerate(validation["peers"])}
        for name, accuracy in {**voters, "leader": validation["leader"], "ensemble": validation["ensemble"]}.items():
            self._writer.add_scalar(f"validation_top1/{name}", accuracy["top1"], record["step"])

    def close(self) -> None:
        """Write what is left."""
        if "_writer" in vars(self):
            self._writer.close()


class ConsoleLog:
    """A line an epoch and, within it, a bar on a terminal or else a line a minute.

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
        self._last_line = time.perf_counter()
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("", total=steps, completed=done)
            self._bar.start()

    def step(self, reading: StepReading) -> None:
        """Move the bar, or print a line where the last one is a minute old."""
        self._images_per_second = reading.images_per_second
        fields = [f"epoch {reading.epoch}/{self._epochs}", _loss_text(reading.loss), self._speed()]
        text = "  ".join([*fields, self._clock.left(reading.step, self._steps)])
        if self._bar is not None:
            self._bar.update(self._task, completed=reading.step, description=text)
        elif time.perf_counter() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._print(f"{text}  (step {reading.step:,} of {self._steps:,})")

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Print a line."""
        width = len(str(self._epochs))
        fields = [f"epoch {record['epoch']:>{width}}/{self._epochs}", _loss_text(record["loss"])]
        if record["validation"] is not None:
            fields.append(f"validation: {_accuracy_text(record['validation'])}")
        fields += [self._speed()] if self._images_per_second else []
        fields.append(self._clock.left(record["step"], self._steps))
        self._print("  ".join(fields))

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._last_line = time.perf_counter()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _speed(self) -> str:
        return f"{self._images_per_second:,.0f} images/s"


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


def _loss_text(loss: Mapping[str, float]) -> str:
    parts = ", ".join(f"{name} {value:.3f}" for name, value in loss.items() if name != "total")
    return f"loss {loss['total']:.3f} ({parts})"
