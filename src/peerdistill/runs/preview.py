"""What a run would do: its data, networks and memory, and an estimate of its time. Nothing is written.

Axes: B batch, C channels, H height, W width.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from peerdistill.config.budget import Budget, plannable
from peerdistill.config.config import Config
from peerdistill.data.arrays import GivenImages
from peerdistill.data.dataset import Dataset, Split
from peerdistill.evaluation.evaluator import evaluating
from peerdistill.runs.budget import Plan, alone
from peerdistill.runs.build import check_device
from peerdistill.runs.followers import NoMetrics
from peerdistill.runs.pace import OneKind, isolate, last_steps, steps_per_epoch, wait_for
from peerdistill.runs.peers_pay import study_for
from peerdistill.runs.prepare import close_workers, opened, prepare
from peerdistill.runs.result import trained_parameters
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task
from peerdistill.training import Trainer

TIMED_STEPS = 3
"""Steps from which the time is estimated."""

_UNTIMED_STEPS = 2  # the first ones are slower: memory is allocated, algorithms are chosen


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes:
        config: Its configuration.
        images: Number of images by split ("train", "val", "test") and class.
        unreadable: Number of unreadable pictures that were left out.
        preprocessing: ``image_size``, ``channels``, ``mean``, ``std``, ``crop`` and ``interpolation``.
        backbones: Networks of the peers; the last one is the leader's.
        copies: Copies of each stage.
        parameters: Parameters of the deployed "leader", and those that learn of "cohort" and "method" (never deployed).
        buffers: Bytes of memory banks and other buffers, by the term of the method that owns them.
        steps_per_epoch: Optimizer steps of an epoch.
        seconds_per_step: Mean of three steps after two that do not count, with reading and augmenting the images. If
            only the leader learns in some steps, the mean over the run of these and of the steps of all peers.
        evaluation_seconds: Forward passes of one evaluation of the validation images, and of the last and best epoch
            at the end, estimated from one batch.
        device: Where the steps ran.
        gpu_bytes: Most GPU memory that was allocated; None without a GPU.
        plan: How the budget is spent; None without one.
        worth: Whether the leader can be expected to be better than one network that trains for as long; None with a
            plan, which says it too, without peers, and for few-shot runs, for which nothing was measured.
    """

    config: Config
    images: Mapping[str, Mapping[str, int]]
    unreadable: int
    preprocessing: Mapping[str, Any]
    backbones: tuple[str, ...]
    copies: tuple[int, ...]
    parameters: Mapping[str, int]
    buffers: Mapping[str, int]
    steps_per_epoch: int
    seconds_per_step: float
    evaluation_seconds: tuple[float, float]
    device: str
    gpu_bytes: int | None
    plan: Plan | None = None
    worth: str | None = None

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return self.config.training.epochs * self.steps_per_epoch

    @property
    def seconds(self) -> float:
        """Estimated time of the run in seconds: its steps, a validation per epoch and the evaluation at the end."""
        per_epoch, at_the_end = self.evaluation_seconds
        return self.steps * self.seconds_per_step + self.config.training.epochs * per_epoch + at_the_end

    @property
    def imbalance(self) -> float:
        """Number of training images of the largest class, divided by that of the smallest."""
        counts = self.images["train"].values()
        return max(counts) / min(counts)

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        apart = ("config", "evaluation_seconds", "plan")
        values = {name: value for name, value in vars(self).items() if name not in apart}
        found = {"steps": self.steps, "imbalance": self.imbalance, "estimated_seconds": self.seconds}
        plan = None if self.plan is None else self.plan.as_dict()
        return {**values, **found, "plan": plan, "options": self.config.as_dict()}


def dry_run(
    config: Config,
    *,
    download: bool = False,
    skip_unreadable: bool = False,
    given: GivenImages | None = None,
    budget: Budget | None = None,
) -> DryRun:
    """Return what a run with a configuration would do, after a few real steps. No run folder is created.

    Args:
        config: Everything that determines the results.
        download: Download data that are missing.
        skip_unreadable: Leave out pictures that cannot be read.
        given: The images that the npz files in ``config`` hold.
        budget: The time for which epochs, and peers if nobody chose them, are planned.

    Raises:
        UserError: For everything for which training would not start.
        Interrupted: After Ctrl-C.
        Diverged: The loss is not finite.
        Failure: A killed data worker and the like.
    """
    if budget is not None:
        config = plannable(config)
    config.check()
    check_device(config.training.device)
    run = Run(config.default_run)  # only its name is used
    flags = {"download": download, "skip_unreadable": skip_unreadable, "given": given}
    task, trainer, evaluators, plan = prepare(config, run, budget=budget, **flags)
    _let_write_nothing(trainer, run)
    try:
        seconds = _seconds_per_step(trainer)
        evaluation = _evaluation_seconds(trainer, task.data)
    finally:
        close_workers(trainer, evaluators)
    device = trainer.fabric.device
    gpu_bytes = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    worth = _worth(task, run, trainer.fabric, seconds) if plan is None else None  # after the memory: it needs more
    return DryRun(
        config=task.config,
        images={name: _counts(split, task.data) for name, split in _splits(task.data).items()},
        unreadable=task.data.skipped,
        preprocessing=_preprocessing(task.data),
        backbones=tuple(backbone.name for backbone in trainer.cohort.backbones),
        copies=tuple(trainer.cohort.copies),
        parameters=trained_parameters(trainer, task),
        buffers=_buffers(trainer),
        steps_per_epoch=steps_per_epoch(trainer),
        seconds_per_step=seconds,
        evaluation_seconds=evaluation,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        gpu_bytes=gpu_bytes,
        plan=plan,
        worth=worth,
    )


def _let_write_nothing(trainer: Trainer, run: Run) -> None:
    """Prepare a trainer for steps in a run whose folder does not exist."""
    isolate(trainer, run.path)
    trainer.metrics = NoMetrics(run.metrics_file)


def _worth(task: Task, run: Run, fabric: Fabric, seconds: float) -> str | None:
    """Time the leader without peers, and return what is known about training it for as long as the peers."""
    study = study_for(task.config)
    if study is None or task.config.cohort.peers == 1:
        return None
    with opened(fabric, task.configured(alone(task.config)), run) as (trainer, _):
        _let_write_nothing(trainer, run)
        ratio = seconds / _seconds_per_step(trainer)
    epochs = ratio * task.config.training.epochs
    _, why = study.verdict(ratio, epochs, "{:,.0f} epochs".format)
    return f"in the same time, one network alone trains for about {epochs:,.0f} epochs; {why}"


def _splits(data: Dataset) -> dict[str, Split]:
    splits = {"train": data.train, "val": data.val, "test": data.test}
    return {name: split for name, split in splits.items() if split is not None}


def _counts(split: Split, data: Dataset) -> dict[str, int]:
    """Return the number of images of each class; in few-shot data, every split has its own classes."""
    names = getattr(split, "class_names", data.class_names)
    counts = torch.bincount(split.labels, minlength=len(names)).tolist()
    return dict(zip(names, counts, strict=True))


def _preprocessing(data: Dataset) -> dict[str, Any]:
    names = ("image_size", "channels", "mean", "std", "crop", "interpolation")
    return {name: getattr(data, name) for name in names}


def _buffers(trainer: Trainer) -> dict[str, int]:
    """Return the bytes of the buffers of every term that has some."""
    found = {name: _bytes(term) for name, term in trainer.method.terms.items()}
    return {name: size for name, size in found.items() if size}


def _bytes(module: nn.Module) -> int:
    return sum(buffer.numel() * buffer.element_size() for buffer in module.buffers())


def _seconds_per_step(trainer: Trainer) -> float:
    """Return the mean time of a step over the run."""
    leader_steps = trainer.leader_steps.count(trainer.steps)
    seconds = (trainer.steps - leader_steps) * _seconds_of(trainer, is_alone=False)
    if leader_steps:
        seconds += leader_steps * _seconds_of(trainer, is_alone=True)
    return seconds / trainer.steps


def _seconds_of(trainer: Trainer, *, is_alone: bool) -> float:
    """Train for a few steps of one kind, and return the mean time of the last ones."""
    trainer.leader_steps = OneKind(is_alone)
    steps = min(_UNTIMED_STEPS + TIMED_STEPS, steps_per_epoch(trainer))
    untimed = min(_UNTIMED_STEPS, steps - 1)
    seconds, _ = last_steps(trainer, 0, steps, untimed=untimed)
    return seconds / (steps - untimed)


@torch.no_grad()
def _evaluation_seconds(trainer: Trainer, data: Dataset) -> tuple[float, float]:
    """Return the time of the forward passes of a validation, and of the evaluations at the end of a run."""
    batch = next(iter(trainer.batches.epoch(0)))
    with evaluating(trainer.cohort):
        _forward_seconds(trainer, batch.images)
        per_image = _forward_seconds(trainer, batch.images) / len(batch.images)
    validation = per_image * (0 if data.val is None else len(data.val))
    test = per_image * (0 if data.test is None else len(data.test))
    return validation, 2 * (validation + test)


def _forward_seconds(trainer: Trainer, images: Float[Tensor, "batch channels height width"]) -> float:
    before = time.perf_counter()
    with trainer.fabric.autocast():
        trainer.cohort(images)
    wait_for(trainer.fabric.device)
    return time.perf_counter() - before
