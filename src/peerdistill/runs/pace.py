"""How long the parts of a training take on this machine, measured with the trainer that would train it."""

import math
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput
from peerdistill.data.dataset import Dataset
from peerdistill.evaluation import Evaluator
from peerdistill.runs.followers import NoCheckpoints
from peerdistill.training import Checkpoints, Logger, Progress, Trainer, TrainingConfig
from peerdistill.training.growth import LeaderSteps

EPOCHS = 10**6
"""Epochs of a trainer whose pace is measured: its schedule must not end meanwhile."""

_LATE = EPOCHS - 1000  # of these epochs: weights that ramp up have done so
_FEW = 2  # steps of the first epochs, which are slower: memory is allocated, algorithms are chosen
_LEAST = 3  # measured steps, unless a single one takes too long
_STEPS, _AGAIN, _EVALUATION = 0.25, 0.5, 0.1  # shares of the time for measuring


@dataclass(frozen=True)
class Pace:
    """How long the parts of a training take, in seconds.

    Attributes:
        steps_per_epoch: Optimizer steps of an epoch.
        step: A step of all peers, with reading and augmenting its images.
        leader_step: A step of the leader alone; 0 if there are none.
        epoch_end: Validation and checkpoints of an epoch.
        first: What the first use of all images takes in addition: pictures are decoded and cached.
        start: Building networks and method.
        end: Evaluation of the last and the best epoch on all evaluation sets.
    """

    steps_per_epoch: int
    step: float
    leader_step: float
    epoch_end: float
    first: float
    start: float
    end: float

    @property
    def beside_epochs(self) -> float:
        """Seconds of everything but the epochs."""
        return self.start + self.first + self.end

    def epochs(self, training: TrainingConfig) -> float:
        """Return the seconds of all epochs of a training."""
        steps = training.epochs * self.steps_per_epoch
        alone = LeaderSteps(training, self.steps_per_epoch).count(steps)
        return (steps - alone) * self.step + alone * self.leader_step + training.epochs * self.epoch_end


def pace_of(
    trainer: Trainer,
    evaluators: Mapping[str, Evaluator | None],
    data: Dataset,
    *,
    start: float,
    seconds: float,
    folder: Path,
) -> Pace:
    """Measure how long the parts of a training take. The trainer cannot be used for a training afterwards.

    Steps and evaluations are measured twice, because pictures are decoded when they are read for the first time. Parts
    of an epoch stand for the whole of it, in proportion to their steps or images.

    Args:
        trainer: A trainer before its first step, for :data:`EPOCHS` epochs.
        evaluators: The evaluators of the splits "val" and "test".
        data: The images.
        start: Seconds that building all this took.
        seconds: About as long as the measurement may take; a few steps are always taken.
        folder: An existing folder on the disk of the run, to which checkpoints are written.

    Raises:
        Interrupted: After Ctrl-C.
        Diverged: The loss is not finite.
        Failure: A full disk, a killed data worker and the like.
    """
    isolate(trainer, folder)
    alone = trainer.config.has_leader_steps
    trainer.leader_steps = OneKind(False)
    cold_step, step, bookkeeping = _steps(trainer, seconds)
    trainer.leader_steps = OneKind(alone)
    _, leader_step, _ = _steps(trainer, seconds) if alone else (0.0, 0.0, 0.0)
    evaluator = evaluators["val"] or evaluators["test"]
    cold_image, image = (0.0, 0.0) if evaluator is None else _evaluation(evaluator, trainer, seconds * _EVALUATION)
    saving = _saving(trainer, folder)
    validation, test = (0 if split is None else len(split) for split in (data.val, data.test))
    per_epoch = steps_per_epoch(trainer)
    return Pace(
        steps_per_epoch=per_epoch,
        step=step,
        leader_step=leader_step,
        # The steps are saved once more before a validation.
        epoch_end=bookkeeping + validation * image + (2 if validation else 1) * saving,
        first=per_epoch * max(0.0, cold_step - step) + (validation + test) * max(0.0, cold_image - image),
        start=start,
        end=2 * (validation + test) * image + saving,
    )


class _Enough(Exception):  # noqa: N818 (not an error)
    """Ends a training: everything was timed."""


class _Clock(Logger):
    """Notes when the last steps of an epoch and the epoch have ended, and ends the training then.

    Args:
        steps: Number of steps.
        untimed: The time starts after so many of them.
        device: Where they run.
    """

    def __init__(self, steps: int, untimed: int, device: torch.device):
        self._left = steps
        self._timed = steps - untimed
        self._device = device
        self.begun = time.perf_counter()
        self.steps_ended = self.epoch_ended = 0.0

    def advance(self, step: int) -> None:
        """Note the time of the last untimed and the last step; on a GPU, wait for it first."""
        del step
        self._left -= 1
        if self._left == self._timed:
            wait_for(self._device)
            self.begun = time.perf_counter()
        elif self._left == 0:
            wait_for(self._device)
            self.steps_ended = time.perf_counter()

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Note the time of the end."""
        del record
        self.epoch_ended = time.perf_counter()
        raise _Enough


class OneKind(LeaderSteps):
    """Makes all steps of a training steps of the leader alone, or none of them."""

    def __init__(self, is_alone: bool):
        super().__init__(TrainingConfig(), steps_per_epoch=1)
        self._is_alone = is_alone

    def is_alone(self, epoch: int, step: int) -> bool:
        """Return the same for every step."""
        del epoch, step
        return self._is_alone


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def isolate(trainer: Trainer, folder: Path) -> None:
    """Let a trainer write nothing and not validate: that is measured apart. The folder need not exist."""
    trainer.checkpoints = NoCheckpoints(folder / "none")
    trainer.check_folder = lambda: None
    trainer.evaluator = None


def steps_per_epoch(trainer: Trainer) -> int:
    """Return the optimizer steps of an epoch."""
    return trainer.steps // trainer.config.epochs


def _steps(trainer: Trainer, seconds: float) -> tuple[float, float, float]:
    """Return the seconds of a step that reads its images for the first time, of a later one, and of an epoch's end."""
    per_epoch = steps_per_epoch(trainer)
    few = min(_FEW, per_epoch)
    last_steps(trainer, _LATE, few)
    took = last_steps(trainer, _LATE + 1, few)[0] / few
    least = min(_LEAST, per_epoch) if took < seconds else 1
    count = max(least, min(per_epoch, int(seconds * _STEPS / took)))
    cold, _ = last_steps(trainer, _LATE + 2, count)
    until, passes = time.perf_counter() + seconds * _AGAIN, []
    while not passes or time.perf_counter() < until:
        passes.append(last_steps(trainer, _LATE + 2, count))
    warm, ends = (sum(part) / len(passes) for part in zip(*passes, strict=True))
    return cold / count, warm / count, ends


def last_steps(trainer: Trainer, epoch: int, steps: int, *, untimed: int = 0) -> tuple[float, float]:
    """Train the last steps of an epoch with an isolated trainer.

    Args:
        trainer: The trainer, see :func:`isolate`.
        epoch: The epoch, from 0.
        steps: Number of steps, at most those of an epoch.
        untimed: How many of them are not timed.

    Returns:
        Seconds of all timed steps together, and those until the epoch's end.
    """
    trainer.progress = Progress(epoch=epoch, step_in_epoch=steps_per_epoch(trainer) - steps)
    clock = _Clock(steps, untimed, trainer.fabric.device)
    trainer.loggers = [clock]
    with suppress(_Enough):
        trainer.fit()
    return clock.steps_ended - clock.begun, clock.epoch_ended - clock.steps_ended


class _Counted(nn.Module):
    """A cohort that counts its images, and ends an evaluation after a while.

    Args:
        cohort: The cohort.
        seconds: From then on, the next batch ends the evaluation.
        images: So does the next batch after this number of images.
    """

    def __init__(self, cohort: nn.Module, seconds: float, images: int):
        super().__init__()
        self._cohort = cohort
        self._until = time.perf_counter() + seconds
        self._most = images
        self.images = 0

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> CohortOutput:
        """Return what the cohort returns."""
        if self.images and (time.perf_counter() > self._until or self.images >= self._most):
            raise _Enough
        self.images += len(images)
        return self._cohort(images)


def _evaluation(evaluator: Evaluator, trainer: Trainer, seconds: float) -> tuple[float, float]:
    """Return the seconds of an evaluation per image, when the image is first read and later."""
    cold, images = _per_image(evaluator, trainer, seconds, sys.maxsize)
    warm, _ = _per_image(evaluator, trainer, math.inf, images)
    return cold, warm


def _per_image(evaluator: Evaluator, trainer: Trainer, seconds: float, images: int) -> tuple[float, int]:
    cohort, ensemble, others = trainer.learner.networks
    counted = _Counted(cohort, seconds, images)
    since = time.perf_counter()
    with suppress(_Enough):
        evaluator(counted, ensemble, others)
    wait_for(trainer.fabric.device)
    return (time.perf_counter() - since) / counted.images, counted.images


def _saving(trainer: Trainer, folder: Path) -> float:
    """Return the seconds of a checkpoint; the second one also copies the first."""
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save(trainer.state_dict())
    since = time.perf_counter()
    checkpoints.save(trainer.state_dict())
    return time.perf_counter() - since
