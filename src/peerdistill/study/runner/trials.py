"""Estimates of how long cells take on this machine, from a few real steps of each configuration."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from peerdistill.config.config import Config
from peerdistill.errors import Failure, UserError
from peerdistill.runs.build import check_device
from peerdistill.runs.fitting import with_fitting_batches
from peerdistill.runs.pace import EPOCHS, Pace, pace_of
from peerdistill.runs.prepare import close_workers, prepare
from peerdistill.runs.run import Run
from peerdistill.study.cost import Sizes, multiply_adds_of_steps, sizes_of
from peerdistill.study.plan import Cell, digest
from peerdistill.study.runner.folders import Folders
from peerdistill.study.runner.job import seconds_to_start

_SECONDS = 0.3
"""About as long as the steps and evaluations of a trial take; a few of them are always made."""


@dataclass(frozen=True)
class Estimate:
    """What a cell is estimated to need.

    Attributes:
        steps: Optimizer steps.
        seconds: Time with one training at a time, from the start of its process to its result.
        training_seconds: Time of its epochs, which its result will have.
        cpu_seconds: CPU time of its epochs.
        device: Device of the training.
    """

    steps: int
    seconds: float
    training_seconds: float
    cpu_seconds: float
    device: str


@dataclass(frozen=True)
class _Trial:
    """What a trial has measured.

    Attributes:
        pace: How long the parts of a training take.
        cpu_share: CPU seconds of a second.
        sizes: Sizes of the data.
        device: Device of the training.
    """

    pace: Pace
    cpu_share: float
    sizes: Sizes
    device: str


class Trials:
    """Runs one trial for each configuration, whatever its seed and number of epochs.

    A student whose teacher is not trained yet is tried with an untrained teacher, which takes as long.

    Args:
        folders: Where the runs are.
        threads: Number of threads of PyTorch in a training.
    """

    def __init__(self, folders: Folders, threads: int):
        self._folders = folders
        self._threads = threads
        self._found: dict[str, _Trial | str] = {}
        torch.set_num_threads(threads)

    def __contains__(self, cell: Cell) -> bool:
        return _key(self._folders.config(cell)) in self._found

    def estimate(self, cell: Cell) -> Estimate | str:
        """Return what a cell will need, or a sentence that says why it can't be trained."""
        trial = self._trial(cell)
        if isinstance(trial, str):
            return trial
        training, pace = cell.resolved.training, trial.pace
        epochs = pace.epochs(training)
        return Estimate(
            steps=training.epochs * pace.steps_per_epoch,
            seconds=self._start + pace.beside_epochs + epochs,
            training_seconds=pace.first + epochs,
            cpu_seconds=trial.cpu_share * (pace.first + epochs),
            device=trial.device,
        )

    def multiply_adds(self, cell: Cell) -> int | None:
        """Return the multiply-adds that a cell will need; None if it can't be trained."""
        trial = self._trial(cell)
        if isinstance(trial, str):
            return None
        per_epoch = trial.pace.steps_per_epoch
        with self._trainable(cell) as config:
            fitting = with_fitting_batches(config, trial.sizes.samples)
            return multiply_adds_of_steps(fitting, trial.sizes, config.training.epochs * per_epoch, per_epoch)

    @cached_property
    def _start(self) -> float:
        return seconds_to_start(self._threads)

    def _trial(self, cell: Cell) -> _Trial | str:
        key = _key(self._folders.config(cell))
        if key not in self._found:
            self._found[key] = self._tried(cell)
        return self._found[key]

    def _tried(self, cell: Cell) -> _Trial | str:
        try:
            with self._trainable(cell) as config, TemporaryDirectory() as folder:
                return _measured(config, Path(folder))
        except (UserError, Failure) as error:
            return str(error)

    @contextmanager
    def _trainable(self, cell: Cell) -> Iterator[Config]:
        """Yield the configuration of a cell; if its teacher is not trained, that of an untrained one."""
        teacher = cell.teacher
        if teacher is None or self._folders.status(teacher) == "finished":
            yield self._folders.config(cell)
            return
        with TemporaryDirectory() as folder, self._trainable(teacher) as of_teacher:
            untrained = Path(folder) / "teacher"
            _write_untrained(of_teacher, untrained)
            yield cell.config(self._folders.places[cell.dataset], untrained)


def _measured(config: Config, folder: Path) -> _Trial:
    """Try a configuration.

    Raises:
        UserError: For everything for which training would not start.
        Failure: A full disk, a killed data worker and the like.
    """
    config.check()
    check_device(config.training.device)
    since = time.perf_counter()
    endless = replace(config, training=replace(config.training, epochs=EPOCHS))
    task, trainer, evaluators, _ = prepare(endless, Run(folder))
    try:
        measuring, cpu = time.perf_counter(), time.process_time()
        start = measuring - since
        pace = pace_of(trainer, evaluators, task.data, start=start, seconds=_SECONDS, folder=folder)
        cpu_share = (time.process_time() - cpu) / (time.perf_counter() - measuring)
        return _Trial(pace, cpu_share, sizes_of(task.data), str(trainer.fabric.device))
    finally:
        close_workers(trainer, evaluators)


def _write_untrained(config: Config, folder: Path) -> None:
    """Write a run with the initial weights of its networks."""
    run = Run(folder)
    task, trainer, evaluators, _ = prepare(config, run)
    try:
        with run.started(task.config):
            trainer.checkpoints.save(trainer.state_dict())
    finally:
        close_workers(trainer, evaluators)


def _key(config: Config) -> str:
    """Return the same for configurations whose steps take the same time."""
    training = replace(config.training, epochs=1)
    episodes = config.episodes
    if episodes is not None:
        episodes = replace(episodes, episodes=episodes.episodes_per_epoch)
    return f"{config.data.data} {digest(replace(config, training=training, episodes=episodes))}"
