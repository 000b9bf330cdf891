"""The trainer: knows cohorts and methods only as modules, and no method by name."""

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
from peerdistill.evaluation import Evaluation, LabelledBatch, evaluate
from peerdistill.rng import random_state, restore_random_state
from peerdistill.terms import Method
from peerdistill.training.checkpoints import Checkpoints
from peerdistill.training.config import TrainingConfig
from peerdistill.training.interrupts import InterruptRequest
from peerdistill.training.loggers import Logger, StepReading
from peerdistill.training.loss_meter import Diverged, LossMeter
from peerdistill.training.memory_format import choose_memory_format
from peerdistill.training.metrics import MetricsFile
from peerdistill.training.schedules import load_optimizer_state, make_optimizer, make_schedule

# The share of a run over which the papers let weights rise.
_RAMP_SHARE = 80 / 300


@runtime_checkable
class IndexedBatch(LabelledBatch, Protocol):
    """What is read of a training batch."""

    @property
    def indices(self) -> Tensor:
        """Rows of the samples in the training set (B,)."""
        ...


@runtime_checkable
class TrainingBatches(Protocol):
    """Batches whose order and augmentation depend on nothing but epoch and position."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[IndexedBatch]:
        """Yield the batches of ``epoch`` from number ``start`` on."""
        ...


@dataclass
class Progress:
    """How far a run is. A step or epoch counts once it is done."""

    epoch: int = 0
    step_in_epoch: int = 0
    step: int = 0
    best_top1: float = -1.0
    best_epoch: int = 0
    metrics_bytes: int = 0


class Trainer:
    """Trains a cohort by a method.

    Args:
        cohort: The peers.
        method: Turns their output into a loss; its parameters are trained with theirs.
        batches: The training images.
        validation: Held-out images that choose the best epoch; None keeps the last epoch alone.
        judge: What makes accuracies of cohort, ensemble and ``validation``.
        config: Options.
        fabric: Device and precision.
        checkpoints: Where to write checkpoints.
        metrics: Where to write a line an epoch.
        loggers: Who else is told.
        notes: Kept in every checkpoint as it is: what is needed to use it without the run.
        check_folder: Raises Failure where the run's folder is not there any more; asked before anything is written.

    A weight of the method that rises over more epochs than there are never reaches its value: a ``Note`` says so.

    Attributes:
        progress: How far it is.
        seconds: What that took, training with validation, over all parts of a resumed run.
    """

    def __init__(
        self,
        cohort: Cohort,
        method: Method,
        batches: TrainingBatches,
        *,
        validation: Any | None,
        judge: Callable[..., Evaluation] = evaluate,
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
        self.validation = validation
        self.judge = judge
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
        optimizer = make_optimizer([*cohort.parameters(), *method.parameters()], config.optimizer, config.lr)
        steps = config.epochs * batches.steps_per_epoch
        warmup_steps = round(config.schedule.warmup * steps)
        self.schedule = make_schedule(optimizer, config.schedule, steps=steps, warmup_steps=warmup_steps)
        self.prepared, self.optimizer = fabric.setup(cohort, optimizer)
        _note_long_ramps(method, config.epochs)

    def fit(self) -> Progress:
        """Train until all epochs are done.

        Raises:
            Interrupted: After Ctrl-C, SIGTERM or SIGHUP, with a checkpoint written.
            Diverged: Where the loss is not finite; the message names step, part and last good checkpoint.
            Failure: For a full disk, a killed data worker and the like; the message names the last good checkpoint.
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
        finally:
            for logger in self.loggers:
                logger.close()
        return self.progress

    def _what_is_kept(self) -> str:
        good = self.checkpoints.last
        if good.exists():
            return f"; the last good checkpoint is {good}"
        return "" if self._saved_step else "; no checkpoint was written yet"  # else the folder is gone

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
        """Yield the batches of this epoch that are left; at the end they are let go of."""
        batches = self.batches.epoch(self.progress.epoch, start=self.progress.step_in_epoch)
        try:
            yield self._fetched(batches)
        finally:
            if isinstance(batches, Generator):
                batches.close()

    def _fetched(self, batches: Iterator[IndexedBatch]) -> Iterator[IndexedBatch]:
        """Yield ``batches``; where there can't be another one, write down the steps that were done before."""
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
        loss = self.method(self.prepared(batch.images), batch.labels, batch.indices)
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
            lr=float(self.schedule.get_last_lr()[0]),
            loss=self.meter.read(progress.step),
        )
        for logger in self.loggers:
            logger.step(reading)

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
            "lr": float(self.schedule.get_last_lr()[0]),
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
        """Return the accuracies of an epoch, which is written down before: whatever happens, it is not lost."""
        if self.validation is None:
            return None
        self._save_steps()
        with self._interrupt.at_once():
            return self.judge(self.prepared, self.method.ensemble, self.validation)

    def _save_steps(self) -> None:
        """Write a checkpoint, unless no step was done since the last one."""
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
        """Raise Diverged where loss, weights or other state are not finite: what is saved is good to go on from."""
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
        """Return everything that a resumed run needs."""
        return {
            "notes": self.notes,
            "progress": asdict(self.progress),
            "seconds": self.seconds,
            "cohort": self.cohort.state_dict(),
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "meter": self.meter.state_dict(),
            "random": random_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> str:
        """Go on where ``state`` was taken; lines of metrics written later are taken back.

        Returns:
            A sentence where lines of metrics that were written before are gone, else nothing.
        """
        self.progress = Progress(**state["progress"])
        self._saved_step = self.progress.step
        self.seconds = state["seconds"]
        self.cohort.load_state_dict(state["cohort"])
        self.method.load_state_dict(state["method"])
        load_optimizer_state(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.meter.load_state_dict(state["meter"])
        restore_random_state(state["random"])
        return self.metrics.go_back(self.progress.metrics_bytes)


def _note_long_ramps(method: Method, epochs: int) -> None:
    """Warn of weights that do not reach their value in so many epochs."""
    long = {name: ramp for name, ramp in method.ramps.items() if ramp.epochs > epochs}
    if not long:
        return
    ramp = next(iter(long.values()))
    reached = ramp.at(epochs - 1) / ramp.weight
    names = " and ".join(f"'{name}'" for name in long)
    warnings.warn(
        f"the weight of {names} rises over {ramp.epochs} epochs and the run has {epochs}, so that it ends at "
        f"{reached:.2g} of its value: set ramp to {max(1, round(_RAMP_SHARE * epochs))} for the share of a run that 80 "
        "of 300 epochs are",
        category=PeerdistillWarning,
        stacklevel=3,
    )


def first_not_finite(tensors: Mapping[str, Any]) -> str | None:
    """Return the name of the first floating-point tensor with NaN or infinity in it, None where there is none.

    Minus infinity is allowed: buffers hold it to mask attention.
    """
    floating = {
        name: tensor for name, tensor in tensors.items() if isinstance(tensor, Tensor) and tensor.is_floating_point()
    }
    if nn.utils.get_total_norm(floating.values()).isfinite():
        return None
    return next((name for name, tensor in floating.items() if not (tensor < torch.inf).all()), None)
