"""The trainer: knows cohorts and methods only as modules, and no method by name."""

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from lightning_fabric import Fabric
from torch import Tensor, nn

from peerdistill.cohort import Cohort
from peerdistill.errors import Note
from peerdistill.evaluation import Evaluation, LabelledBatch, evaluate
from peerdistill.terms import Method
from peerdistill.training.checkpoints import Checkpoints
from peerdistill.training.config import TrainingConfig
from peerdistill.training.interrupts import Interrupted, InterruptRequest
from peerdistill.training.layout import memory_format
from peerdistill.training.loggers import Logger, StepReading
from peerdistill.training.meter import Diverged, LossMeter
from peerdistill.training.metrics import MetricsFile
from peerdistill.training.randomness import random_state, restore_random_state
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
        self.progress = Progress()
        self.seconds = 0.0
        self._counted = time.perf_counter()
        self.meter = LossMeter()
        layout = memory_format(config.memory_format, cohort, fabric.device, config.precision)
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
            Interrupted: After Ctrl-C or SIGTERM, with a checkpoint written.
            Diverged: Where the loss is not finite; the message names step, part and last good checkpoint.
        """
        self._counted = time.perf_counter()
        try:
            with InterruptRequest() as interrupt:
                while self.progress.epoch < self.config.epochs:
                    self._train_epoch(interrupt)
                    self._end_epoch()
        except Diverged as error:
            good = self.checkpoints.last
            kept = f"the last good checkpoint is {good}" if good.exists() else "no checkpoint was written yet"
            raise Diverged(f"{error}; {kept}") from error
        finally:
            for logger in self.loggers:
                logger.close()
        return self.progress

    def _train_epoch(self, interrupt: InterruptRequest) -> None:
        self.cohort.train()
        self.method.train()
        self.method.start_epoch(self.progress.epoch)
        config, progress = self.config, self.progress
        since, images = time.perf_counter(), 0
        for batch in self.batches.epoch(progress.epoch, start=progress.step_in_epoch):
            self._step(batch)
            images += len(batch.labels)
            if progress.step % config.log_every == 0:
                self._tell_step(images / (time.perf_counter() - since))
                since, images = time.perf_counter(), 0
            if interrupt.requested:
                self._save()
                raise Interrupted
            if config.checkpoint_every and progress.step % config.checkpoint_every == 0:
                self._save()

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
        if self.validation is None:
            return None
        return self.judge(self.prepared, self.method.ensemble, self.validation)

    def _save(self, *, best: bool = False) -> None:
        self._check_finite()
        self.progress.metrics_bytes = self.metrics.size
        self._count_seconds()
        self.checkpoints.save(self.state_dict(), best=best)

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.seconds += now - self._counted
        self._counted = now

    def _check_finite(self) -> None:
        """Raise Diverged after a loss, or with weights, that are not finite: what is saved is good to go on from."""
        self.meter.read(self.progress.step)
        if not nn.utils.get_total_norm([*self.cohort.parameters(), *self.method.parameters()]).isfinite():
            raise Diverged(f"the weights are not finite after step {self.progress.step}")

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

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where ``state`` was taken; lines of metrics written later are taken back."""
        self.progress = Progress(**state["progress"])
        self.seconds = state["seconds"]
        self.cohort.load_state_dict(state["cohort"])
        self.method.load_state_dict(state["method"])
        load_optimizer_state(self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        self.meter.load_state_dict(state["meter"])
        restore_random_state(state["random"])
        self.metrics.truncate(self.progress.metrics_bytes)


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
        category=Note,
        stacklevel=3,
    )
