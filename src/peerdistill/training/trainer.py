"""The trainer. It knows cohorts and methods as modules only, and no method by name."""

import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from peerdistill.cohort import Cohort
from peerdistill.errors import Failure, PeerdistillWarning, UserError
from peerdistill.evaluation import Evaluation, Evaluator, LabelledBatch
from peerdistill.rng import random_state, restore_random_state
from peerdistill.terms import Method
from peerdistill.training.checkpoints import Checkpoints
from peerdistill.training.config import TrainingConfig
from peerdistill.training.interrupts import InterruptRequest
from peerdistill.training.loggers import Logger, StepReading
from peerdistill.training.loss_meter import Diverged, LossMeter
from peerdistill.training.memory_format import choose_memory_format
from peerdistill.training.metrics import MetricsFile
from peerdistill.training.optimizers import RATE_FACTOR, load_optimizer_state, make_optimizer, parameter_groups
from peerdistill.training.schedules import make_schedule

_ENSEMBLE = "ensemble."  # prefix of the names of its state

# The papers ramp up weights over this share of a run.
_RAMP_SHARE = 80 / 300


@runtime_checkable
class IndexedBatch(LabelledBatch, Protocol):
    """What the trainer reads of a batch."""

    @property
    def indices(self) -> Tensor:
        """Rows of the samples in the training set (B,)."""
        ...

    @property
    def targets(self) -> Tensor | None:
        """Class distributions of the first samples, whose images are mixtures (mixed, classes), or None."""
        ...


@runtime_checkable
class TrainingBatches(Protocol):
    """Batches whose order and augmentation depend on epoch and position only."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[IndexedBatch]:
        """Yield the batches of ``epoch`` from number ``start`` on."""
        ...


@dataclass
class Progress:
    """Completed steps and epochs of a run."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best_top1: float = -1.0
    best_epoch: int = 0
    metrics_bytes: int = 0


class Trainer:
    """Trains a cohort with a method.

    Args:
        cohort: The peers.
        method: Computes the loss from their output; its parameters are trained too.
        batches: The training images.
        evaluator: Evaluates the cohort on held-out images after every epoch, which selects the best epoch; None keeps
            the last epoch only.
        config: Options of the training.
        fabric: Device and precision.
        checkpoints: Where checkpoints are written.
        metrics: Where one line per epoch is written.
        loggers: Further loggers; the caller closes them.
        notes: Stored in every checkpoint: what is needed to use it without the run.
        check_folder: Called before anything is written; raises Failure if the run folder no longer exists.

    A :class:`PeerdistillWarning` tells if a weight of the method ramps up over more epochs than there are.

    Attributes:
        progress: Completed steps and epochs.
        seconds: Time of training with validation, over all parts of a resumed run.
    """

    def __init__(
        self,
        cohort: Cohort,
        method: Method,
        batches: TrainingBatches,
        *,
        evaluator: Evaluator | None,
        config: TrainingConfig,
        fabric: Fabric,
        checkpoints: Checkpoints,
        metrics: MetricsFile,
        loggers: Sequence[Logger] = (),
        notes: Mapping[str, Any] | None = None,
        check_folder: Callable[[], None] = lambda: None,
    ):
        self.cohort = cohort
        self.method = method
        self.batches = batches
        self.evaluator = evaluator
        self.config = config
        self.fabric = fabric
        self.checkpoints = checkpoints
        self.metrics = metrics
        self.loggers = loggers
        self.notes = dict(notes or {})
        self.check_folder = check_folder
        self.progress = Progress()
        self.seconds = 0.0
        self._counted = time.perf_counter()
        self._saved_step = 0
        self._interrupt = InterruptRequest()
        self.meter = LossMeter()
        layout = choose_memory_format(config.memory_format, cohort, fabric.device, config.precision)
        for module in filter(None, (cohort, method, method.teacher)):
            module.to(memory_format=layout)
        fabric.to_device(method)
        groups = parameter_groups(cohort, method.parameters(), config.optimizer)
        optimizer = make_optimizer(groups, config.optimizer, config.lr)
        steps = config.epochs * batches.steps_per_epoch
        warmup_steps = round(config.schedule.warmup * steps)
        self.schedule = make_schedule(optimizer, config.schedule, steps=steps, warmup_steps=warmup_steps)
        self.prepared, self.optimizer = fabric.setup(cohort, optimizer)
        _note_long_ramps(method, config.epochs)

    def fit(self) -> Progress:
        """Train until all epochs are done.

        Raises:
            Interrupted: After Ctrl-C, SIGTERM or SIGHUP. A checkpoint was written.
            Diverged: The loss is not finite. The message names the step, the term and the last good checkpoint.
            Failure: A full disk, a killed data worker and the like. The message names the last good checkpoint.
        """
        self._counted = time.perf_counter()
        try:
            with InterruptRequest() as self._interrupt:
                while self.progress.epoch < self.config.epochs:
                    self._train_epoch()
                    self._end_epoch()
                    self._interrupt.end_if_requested()
        except Failure as error:
            raise type(error)(f"{error}{self._what_is_kept()}") from error
        return self.progress

    def _what_is_kept(self) -> str:
        good = self.checkpoints.last
        if good.exists():
            return f"; the last good checkpoint is {good}"
        return "" if self._saved_step else "; no checkpoint was written yet"  # otherwise the folder is gone

    def _train_epoch(self) -> None:
        self.cohort.train()
        self.method.train()
        self.method.start_epoch(self.progress.epoch)
        config, progress = self.config, self.progress
        since, images = time.perf_counter(), 0
        with self._batches_left() as batches:
            for batch in batches:
                self._step(batch)
                images += len(batch.labels)
                if self._interrupt.requested:
                    self._save()
                    self._interrupt.end_if_requested()
                if progress.step % config.log_every == 0:
                    self._tell_step(images / (time.perf_counter() - since))
                    since, images = time.perf_counter(), 0
                if config.checkpoint_every and progress.step % config.checkpoint_every == 0:
                    self._save()

    @contextmanager
    def _batches_left(self) -> Iterator[Iterator[IndexedBatch]]:
        """Yield the remaining batches of this epoch; they are closed at the end."""
        batches = self.batches.epoch(self.progress.epoch, start=self.progress.step_in_epoch)
        try:
            yield self._fetched(batches)
        finally:
            if isinstance(batches, Generator):
                batches.close()

    def _fetched(self, batches: Iterator[IndexedBatch]) -> Iterator[IndexedBatch]:
        """Yield ``batches``; if the next one fails, save the steps done before."""
        while True:
            try:
                batch = next(batches, None)
            except (Failure, UserError):
                self._save_steps()
                self._interrupt.end_if_requested()
                raise
            if batch is None:
                return
            yield batch

    def _step(self, batch: IndexedBatch) -> None:
        loss = self.method(self.prepared(batch.images), batch.labels, batch.indices, batch.targets)
        self.fabric.backward(loss.total)
        self.optimizer.step()
        self.method.after_step(self.cohort)
        self.optimizer.zero_grad(set_to_none=True)
        self.schedule.step()
        self.meter.add(loss.total, loss.parts)
        self.progress.step += 1
        self.progress.step_in_epoch += 1
        for logger in self.loggers:
            logger.advance(self.progress.step)

    def _tell_step(self, images_per_second: float) -> None:
        self.check_folder()
        progress = self.progress
        reading = StepReading(
            epoch=progress.epoch + 1,
            step=progress.step,
            images_per_second=images_per_second,
            lr=self._lr,
            loss=self.meter.read(progress.step),
        )
        for logger in self.loggers:
            logger.step(reading)

    @property
    def _lr(self) -> float:
        """The learning rate of the last step, without the multiples of parameter groups."""
        return float(self.schedule.get_last_lr()[0]) / self.optimizer.param_groups[0][RATE_FACTOR]

    def _end_epoch(self) -> None:
        progress = self.progress
        loss = self.meter.read(progress.step)
        validation = self._validate()
        self.check_folder()
        progress.epoch += 1
        progress.step_in_epoch = 0
        self.meter.reset()
        improved = self._note_best(validation)
        record = {
            "epoch": progress.epoch,
            "step": progress.step,
            "lr": self._lr,
            "loss": loss,
            "validation": validation.as_dict() if validation else None,
        }
        self.metrics.append(record)
        self._save(best=improved)
        for logger in self.loggers:
            logger.epoch(record)

    def _note_best(self, validation: Evaluation | None) -> bool:
        progress = self.progress
        if validation is None or validation.leader.top1 <= progress.best_top1:
            return False
        progress.best_top1, progress.best_epoch = validation.leader.top1, progress.epoch
        return True

    def _validate(self) -> Evaluation | None:
        """Return the scores of an epoch. Its steps are saved before, so that a failure does not lose them."""
        if self.evaluator is None:
            return None
        self._save_steps()
        with self._interrupt.at_once():
            return self.evaluator(self.prepared, self.method.ensemble)

    def _save_steps(self) -> None:
        """Write a checkpoint if steps were done since the last one."""
        if self.progress.step > self._saved_step:
            self._save()

    def _save(self, *, best: bool = False) -> None:
        self.check_folder()
        self._check_finite()
        self.progress.metrics_bytes = self.metrics.size
        self._count_seconds()
        with self._interrupt.writing():
            self.checkpoints.save(self.state_dict(), best=best)
        self._saved_step = self.progress.step

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._counted
        self._counted = now

    def _check_finite(self) -> None:
        """Raise Diverged if the loss, a weight or other state is not finite: every saved checkpoint can be resumed."""
        self.meter.read(self.progress.step)
        step = self.progress.step
        if not nn.utils.get_total_norm([*self.cohort.parameters(), *self.method.parameters()]).isfinite():
            raise Diverged(f"the weights are not finite after step {step}")
        for module in (self.cohort, self.method):
            parameters = dict(module.named_parameters(remove_duplicate=False))
            others = {name: part for name, part in module.state_dict().items() if name not in parameters}
            if name := first_not_finite(others):
                raise Diverged(f"{name} is not finite after step {step}")

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs. The ensemble has its own entry: evaluation needs no terms."""
        ensemble, terms = divided_state(self.method)
        return {
            "notes": self.notes,
            "progress": asdict(self.progress),
            "seconds": self.seconds,
            "cohort": self.cohort.state_dict(),
            "method": terms,
            "ensemble": ensemble,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "meter": self.meter.state_dict(),
            "random": random_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> str:
        """Restore the state; lines of metrics that were written later are removed.

        Returns:
            A sentence if lines of metrics that were written before are missing, otherwise an empty string.
        """
        self.progress = Progress(**state["progress"])
        self._saved_step = self.progress.step
        self.seconds = state["seconds"]
        self.cohort.load_state_dict(state["cohort"])
        load_method(self.method, state)
        load_optimizer_state(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.meter.load_state_dict(state["meter"])
        restore_random_state(state["random"])
        return self.metrics.go_back(self.progress.metrics_bytes)


def _note_long_ramps(method: Method, epochs: int) -> None:
    """Warn about weights that do not reach their final value in this number of epochs."""
    long = {name: ramp for name, ramp in method.ramps.items() if ramp.epochs > epochs}
    if not long:
        return
    ramp = next(iter(long.values()))
    reached = ramp.at(epochs - 1) / ramp.weight
    names = " and ".join(f"'{name}'" for name in long)
    warnings.warn(
        f"the weight of {names} ramps up over {ramp.epochs} epochs, but the run has {epochs}: it ends at {reached:.2g} "
        f"of its value. Set ramp to {max(1, round(_RAMP_SHARE * epochs))} for the same share of the run as 80 of 300 "
        "epochs",
        category=PeerdistillWarning,
        stacklevel=3,
    )


def divided_state(method: Method) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the state of the ensemble of a method, under its own names, and the rest of the state of the method."""
    state = method.state_dict()
    own = {name: part for name, part in state.items() if name.startswith(_ENSEMBLE)}
    rest = {name: part for name, part in state.items() if name not in own}
    return {name.removeprefix(_ENSEMBLE): part for name, part in own.items()}, rest


def load_method(method: Method, state: Mapping[str, Any]) -> None:
    """Restore the method of a checkpoint.

    Raises:
        RuntimeError: The state is that of another method.
    """
    ensemble = {f"{_ENSEMBLE}{name}": part for name, part in state["ensemble"].items()}
    method.load_state_dict({**state["method"], **ensemble})


def first_not_finite(tensors: Mapping[str, Any]) -> str | None:
    """Return the name of the first floating-point tensor that contains NaN or infinity, or None.

    Minus infinity is allowed: buffers use it to mask attention.
    """
    floating = {
        name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor) and tensor.is_floating_point()
    }
    if nn.utils.get_total_norm(floating.values()).isfinite():
        return None
    return next((name for name, tensor in floating.items() if not (tensor < torch.inf).all()), None)
