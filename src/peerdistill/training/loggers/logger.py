"""What a logger is, and what it receives. Importing this file does not import PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from peerdistill.training.metrics import METRICS_FILE, MetricsFile


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
    """Receives what happens in training. The methods of this class do nothing: a logger overrides those it needs."""

    def advance(self, step: int) -> None:
        """Called after every step with the number of steps so far. It must not wait for the device."""

    def step(self, reading: StepReading) -> None:
        """Called with a reading every ``log_every`` steps."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Called after every epoch with its line of ``metrics.jsonl``."""

    def result(self, result: Mapping[str, Any]) -> None:
        """Called once at the end of the run with the content of ``result.json``."""

    def close(self) -> None:
        """Called at the end, also after an error."""


@dataclass(frozen=True)
class LoggedRun:
    """The run that a logger is created for.

    Attributes:
        folder: The run folder.
        config: All options, as in ``config.yaml``.
        step: Steps that were done before the run was resumed, 0 for a new run. The first step that is logged is the
            next one.
    """

    folder: Path
    config: Mapping[str, Any]
    step: int = 0

    @property
    def records(self) -> Sequence[Mapping[str, Any]]:
        """The lines of ``metrics.jsonl`` of the epochs that were done before."""
        return MetricsFile(self.folder / METRICS_FILE).read()


@dataclass(frozen=True)
class LoggerKind:
    """A logger that ``--loggers`` can name.

    To add one, add a file that holds ``LOGGER`` to ``training/loggers/``; nothing else lists it. Such a file imports
    the library that it needs only inside its functions.

    Attributes:
        name: Its name.
        help: What it is, in a few words for ``--help``.
        open: Returns the logger of a run. An error here ends the run before the first step.
        package: The module that must be installed; None if it needs none.
        install: What ``pip install`` must be given to install it.

    Example:
        >>> class Silent(Logger):
        ...     def __init__(self, run: LoggedRun): ...
        >>> kind = LoggerKind("silent", "nothing", open=Silent)
        >>> kind.open(LoggedRun(Path("runs/mine"), config={})).advance(1)
    """

    name: str
    help: str
    open: Callable[[LoggedRun], Logger]
    package: str | None = None
    install: str = ""
