"""Estimates of how long cells take on this machine, from a few real steps of each configuration."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from peerdistill.config.config import Config
from peerdistill.errors import Failure, UserError
from peerdistill.runs.build import check_device
from peerdistill.runs.pace import EPOCHS, Pace, pace_of
from peerdistill.runs.prepare import close_workers, prepare
from peerdistill.runs.run import Run
from peerdistill.study.plan import Cell, digest
from peerdistill.study.runner.folders import Folders

_SECONDS = 0.3
"""About as long as the steps and evaluations of a trial take; a few of them are always made."""


@dataclass(frozen=True)
class Estimate:
    """What a cell is estimated to need.

    Attributes:
        steps: Optimizer steps.
        seconds: Time with one training at a time, from the start of its process to its result.
    """

    steps: int
    seconds: float


class Trials:
    """Runs one trial for each configuration, whatever its seed and number of epochs.

    A student whose teacher is not trained yet is tried with an untrained teacher, which takes as long.

    Args:
        folders: Where the runs are.
        threads: Number of threads of PyTorch in a training.
    """

    def __init__(self, folders: Folders, threads: int):
        self._folders = folders
        self._found: dict[str, Pace | str] = {}
        torch.set_num_threads(threads)

    def __contains__(self, cell: Cell) -> bool:
        return _key(self._folders.config(cell)) in self._found

    def estimate(self, cell: Cell) -> Estimate | str:
        """Return what a cell will need, or a sentence that says why it can't be trained."""
        key = _key(self._folders.config(cell))
        if key not in self._found:
            self._found[key] = self._tried(cell)
        pace = self._found[key]
        if isinstance(pace, str):
            return pace
        training = cell.resolved.training
        return Estimate(training.epochs * pace.steps_per_epoch, pace.beside_epochs + pace.epochs(training))

    def _tried(self, cell: Cell) -> Pace | str:
        try:
            with self._trainable(cell) as config, TemporaryDirectory() as folder:
                return _pace(config, Path(folder))
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


def _pace(config: Config, folder: Path) -> Pace:
    """Return how long the parts of a training take.

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
        start = time.perf_counter() - since
        return pace_of(trainer, evaluators, task.data, start=start, seconds=_SECONDS, folder=folder)
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
