"""The trainer. It knows cohorts and methods as modules only, and no method by name."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import torch
from lightning_fabric import Fabric

from peerdistill.cohort import Cohort
from peerdistill.errors import Failure, UserError
from peerdistill.evaluation import Evaluation, Evaluator
from peerdistill.rng import random_state, restore_random_state
from peerdistill.terms import Method
from peerdistill.training.bank_shards import BankShards
from peerdistill.training.batches import IndexedBatch, StepGroups, TrainingBatches
from peerdistill.training.checkpoints import Checkpoints
from peerdistill.training.config import TrainingConfig
from peerdistill.training.growth import LeaderSteps, check_can_grow
from peerdistill.training.interrupts import InterruptRequest
from peerdistill.training.learner import Learner
from peerdistill.training.loggers import Logger, StepReading
from peerdistill.training.loss_meter import LossMeter
from peerdistill.training.metrics import MetricsFile
from peerdistill.training.parallel import ProcessGroup
from peerdistill.training.progress import Progress
from peerdistill.training.ramps import warn_about_long_ramps


class Trainer:
    """Trains a cohort with a method.

    Args:
        cohort: The peers.
        method: Computes the loss from their output; its parameters are trained too.
        batches: The training images.
        evaluator: Evaluates the cohort on held-out images after every epoch, which selects the best epoch and, with
            ``config.patience``, stops the training early; None keeps the last epoch only.
        config: Options of the training.
        fabric: Device and precision.
        checkpoints: Where checkpoints are written.
        metrics: Where one line per epoch is written.
        loggers: Further loggers; the caller closes them.
        processes: The processes that train together; by default those of ``fabric``.
        notes: Stored in every checkpoint: what is needed to use it without the run.
        check_folder: Called before anything is written; raises Failure if the run folder no longer exists.

    A :class:`PeerdistillWarning` tells if a weight of the method ramps up over more epochs than there are.

    Attributes:
        progress: Completed steps and epochs.
        leader_steps: Which steps only the leader takes.
        shards: The memory banks in checkpoints, if several processes divide them.
        seconds: Time of training with validation, over all parts of a resumed run.
        cpu_seconds: CPU time in that time of all threads of the processes that train together. Unlike ``seconds``, it
            hardly depends on what else the machine does.
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
        processes: ProcessGroup | None = None,
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
        self.seconds = self.cpu_seconds = 0.0
        self._start_counting()
        self._saved_step = 0
        self._interrupt = InterruptRequest()
        self.processes = processes or ProcessGroup(fabric)
        self.shards = BankShards(method, checkpoints, self.processes.share, self.processes.wait)
        self._meter = LossMeter()
        self._groups = StepGroups(batches, config.accumulate)
        if config.growth.start:
            check_can_grow(cohort)
        self.leader_steps = LeaderSteps(config, self._groups.steps_per_epoch)
        self.learner = Learner(cohort, method, config=config, fabric=fabric, steps=self.steps)
        warn_about_long_ramps(method, self.leader_steps.epoch_of_peers(config.epochs))

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.config.epochs * self._groups.steps_per_epoch

    @property
    def stopped_early(self) -> bool:
        """Whether the training has ended before its last epoch because validation did not improve any more."""
        patience, progress = self.config.patience, self.progress
        return 0 < patience <= progress.epochs_without_better and progress.epoch < self.config.epochs

    def fit(self) -> Progress:
        """Train until all epochs are done, or validation has not improved for ``config.patience`` epochs.

        Raises:
            Interrupted: After Ctrl-C, SIGTERM or SIGHUP. A checkpoint was written.
            Diverged: The loss is not finite. The message names the step, the term and the last good checkpoint.
            Failure: A full disk, a killed data worker and the like. The message names the last good checkpoint.
        """
        self._start_counting()
        try:
            with InterruptRequest() as self._interrupt:
                while self.progress.epoch < self.config.epochs and not self.stopped_early:
                    self._train_epoch()
                    self._end_epoch()
                    self._stop_if_requested()
        except Failure as error:
            raise type(error)(f"{error}{self._what_is_kept()}") from error
        except RuntimeError as error:
            if not self.processes.has_lost_one(error):
                raise
            raise Failure(f"another process of the training has ended{self._what_is_kept()}") from error
        return self.progress

    def _what_is_kept(self) -> str:
        good = self.checkpoints.last
        if good.exists():
            return f"; the last good checkpoint is {good}"
        return "" if self._saved_step else "; no checkpoint was written yet"  # otherwise the folder is gone

    def _train_epoch(self) -> None:
        self.cohort.train()
        self.method.train()
        config, progress = self.config, self.progress
        self.method.start_epoch(self.leader_steps.epoch_of_peers(progress.epoch))
        if self.leader_steps.grows_before(progress.epoch, progress.step_in_epoch):
            self.learner.grow_peers()
        since, images = time.perf_counter(), 0
        with closing(self._groups.epoch(progress.epoch, start=progress.step_in_epoch)) as groups:
            for group in self._fetched(groups):
                self._step(group)
                images += sum(len(batch.labels) for batch in group)
                if self._is_stop_requested():
                    self._save()
                    self._interrupt.end_if_requested()
                if progress.step % config.log_every == 0:
                    self._tell_step(images / (time.perf_counter() - since))
                    since, images = time.perf_counter(), 0
                if config.checkpoint_every and progress.step % config.checkpoint_every == 0:
                    self._save()

    def _is_stop_requested(self) -> bool:
        """Return whether a signal has arrived, here or in another process: all must stop after the same step."""
        number = self.processes.largest(self._interrupt.number or 0)
        if number:  # one that arrives after the vote waits for the next
            self._interrupt.number = number
        return bool(number)

    def _stop_if_requested(self) -> None:
        if self._is_stop_requested():
            self._interrupt.end_if_requested()

    def _fetched(self, groups: Iterator[list[IndexedBatch]]) -> Iterator[list[IndexedBatch]]:
        """Yield ``groups``; if the next one fails, save the steps done before."""
        while True:
            try:
                group = next(groups, None)
            except (Failure, UserError):
                if not self.shards.exist:  # the other processes are not at this point
                    self._save_steps(alone=True)
                self._interrupt.end_if_requested()
                raise
            if group is None:
                return
            yield group

    def _step(self, group: Sequence[IndexedBatch]) -> None:
        progress, learner = self.progress, self.learner
        is_alone = self.leader_steps.is_alone(progress.epoch, progress.step_in_epoch)
        loss = (learner.leader_step if is_alone else learner.step)(group, progress.step + 1)
        self._meter.add(loss.total, loss.parts)
        progress.step += 1
        progress.step_in_epoch += 1
        for logger in self.loggers:
            logger.advance(progress.step)

    def _tell_step(self, images_per_second: float) -> None:
        self.check_folder()
        progress = self.progress
        reading = StepReading(
            epoch=progress.epoch + 1,
            step=progress.step,
            images_per_second=images_per_second,
            lr=self.learner.lr,
            loss=self._meter.read(progress.step),
        )
        for logger in self.loggers:
            logger.step(reading)

    def _end_epoch(self) -> None:
        progress = self.progress
        loss = self._meter.read(progress.step)
        validation = self._validate()
        self.check_folder()
        progress.epoch += 1
        progress.step_in_epoch = 0
        self._meter.reset()
        improved = validation is not None and self._note(validation)
        record = {
            "epoch": progress.epoch,
            "step": progress.step,
            "lr": self.learner.lr,
            "loss": loss,
            "validation": validation.as_dict() if validation else None,
        }
        self.metrics.append(record)
        self._save(best=improved)
        for logger in self.loggers:
            logger.epoch(record)

    def _note(self, validation: Evaluation) -> bool:
        """Return whether an epoch is the best so far: one of those with all peers, so that it has an ensemble, too."""
        progress = self.progress
        return progress.epoch > self.leader_steps.first_epoch and progress.note_validation(validation.leader.top1)

    def _validate(self) -> Evaluation | None:
        """Return the scores of an epoch. Its steps are saved before, so that a failure does not lose them."""
        if self.evaluator is None:
            return None
        self._save_steps()
        if self.processes.is_shared:
            self.learner.share_statistics(self.processes)
            return self._scores(self.evaluator)
        with self._interrupt.at_once():
            return self._scores(self.evaluator)

    def _scores(self, evaluator: Evaluator) -> Evaluation:
        """Return the scores of all networks. Peers that have not started yet have those of the leader."""
        if self.progress.epoch >= self.leader_steps.first_epoch:
            return evaluator(*self.learner.networks)
        found = evaluator(*self.learner.leader_networks)
        return replace(found, peers=found.peers * self.cohort.peers)

    def _save_steps(self, *, alone: bool = False) -> None:
        """Write a checkpoint if steps were done since the last one."""
        if self.progress.step > self._saved_step:
            self._save(alone=alone)

    def _save(self, *, best: bool = False, alone: bool = False) -> None:
        """Write a checkpoint; ``alone``: the other processes, if there are any, do not do so now."""
        self.check_folder()
        # Every saved checkpoint can be resumed.
        self._meter.read(self.progress.step)
        self.learner.check_finite(self.progress.step)
        self.progress.metrics_bytes = self.metrics.size
        self._count_seconds(alone=alone)
        with self._interrupt.writing():
            self.checkpoints.save(self.shards.save(self.state_dict()), best=best)
            self.shards.keep({self._saved_step, self.progress.step})
        self._saved_step = self.progress.step

    def _start_counting(self) -> None:
        self._counted, self._cpu_counted = time.perf_counter(), time.process_time()

    def _count_seconds(self, *, alone: bool) -> None:
        """Add the time since the last count. What other processes have spent is not known if this one is alone."""
        self.seconds += time.perf_counter() - self._counted
        spent = torch.tensor(time.process_time() - self._cpu_counted, dtype=torch.float64)
        self.cpu_seconds += float(spent if alone else self.processes.total(spent))
        self._start_counting()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs."""
        return {
            "notes": self.notes,
            "progress": asdict(self.progress),
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            **self.learner.state_dict(),
            "meter": self._meter.state_dict(),
            "random": random_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> str:
        """Restore the state; lines of metrics that were written later are removed.

        The state of a checkpoint needs its memory banks first, see :meth:`BankShards.completed`.

        Returns:
            A sentence if lines of metrics that were written before are missing, otherwise an empty string.
        """
        self.progress = Progress(**state["progress"])
        self._saved_step = self.progress.step
        self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
        self.learner.load_state_dict(state)
        self._meter.load_state_dict(state["meter"])
        restore_random_state(state["random"])
        return self.metrics.go_back(self.progress.metrics_bytes)
