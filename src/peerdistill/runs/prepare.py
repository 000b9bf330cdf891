"""A run before its first step: its task, its trainer and its evaluators, from a configuration."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric, seed_everything

from peerdistill.config.budget import Budget
from peerdistill.config.config import Config
from peerdistill.contrast import memory_of
from peerdistill.data.arrays import GivenImages
from peerdistill.data.batches import TrainBatches
from peerdistill.data.dataset import contents
from peerdistill.evaluation import Evaluator
from peerdistill.runs.budget import Plan, plan_for
from peerdistill.runs.build import build_cohort, check_batch_norm, check_patience, check_synchronisable
from peerdistill.runs.followers import NoCheckpoints, NoMetrics
from peerdistill.runs.identity import decisive_options
from peerdistill.runs.preprocessing import as_expected
from peerdistill.runs.pretrained import start_from_weights
from peerdistill.runs.run import Run
from peerdistill.runs.task import SPLITS, Task
from peerdistill.runs.tasks import load_task
from peerdistill.training import MetricsFile, Trainer, ignore_signals
from peerdistill.training.parallel import ProcessGroup, fabric_for


class Prepared(NamedTuple):
    """A run before its first step."""

    task: Task
    trainer: Trainer
    evaluators: dict[str, Evaluator | None]
    """Of the splits "val" and "test"."""
    plan: Plan | None
    """How its budget is spent, if it has one."""


def prepare(
    config: Config,
    run: Run,
    *,
    fabric: Fabric | None = None,
    budget: Budget | None = None,
    download: bool = False,
    skip_unreadable: bool = False,
    given: GivenImages | None = None,
) -> Prepared:
    """Return the task of a new run, its trainer before the first step, and its evaluators. Nothing is written.

    Args:
        config: Everything that determines the results.
        run: The run; its folder need not exist.
        fabric: Device, precision and processes, launched; by default for one process.
        budget: The time in which the run must end; the configuration of the task is then planned for it.
        download: Download data that are missing.
        skip_unreadable: Leave out pictures that cannot be read.
        given: The images that the npz files in ``config`` hold.

    Raises:
        UserError: For wrong input.
    """
    config = as_expected(config)
    config.data.sources.warn_if_shadowed(config.data.data)
    task = load_task(config, download=download, skip_unreadable=skip_unreadable, given=given)
    fabric = fabric or launched(config, devices=1)
    plan = None
    if budget is not None:
        plan = plan_for(task, budget, run, partial(opened, fabric))
        task = task.configured(plan.config)
    trainer, evaluators = trainer_of(run, task, fabric, is_new=True)
    return Prepared(task, trainer, evaluators, plan)


@contextmanager
def opened(fabric: Fabric, task: Task, run: Run) -> Iterator[tuple[Trainer, Mapping[str, Evaluator | None]]]:
    """Yield the trainer of a task before its first step, and its evaluators; then stop their workers."""
    trainer, evaluators = trainer_of(run, task, fabric, is_new=True)
    try:
        yield trainer, evaluators
    finally:
        close_workers(trainer, evaluators)


def launched(config: Config, devices: int | None) -> Fabric:
    """Return device, precision and processes of a configuration; other processes are started if it has several."""
    training = config.training
    fabric = fabric_for(training.device, training.precision, devices)
    fabric.launch()
    return fabric


def close_workers(trainer: Trainer, evaluators: Mapping[str, Evaluator | None]) -> None:
    """Stop the workers that read images. At the end of the process, this would take seconds."""
    with ignore_signals():
        if isinstance(trainer.batches, TrainBatches):
            trainer.batches.close()
        for evaluator in (*evaluators.values(), trainer.evaluator):
            if evaluator is not None:
                evaluator.close()


def trainer_of(run: Run, task: Task, fabric: Fabric, *, is_new: bool) -> tuple[Trainer, dict[str, Evaluator | None]]:
    """Return the trainer of a run before its first step, and the evaluators of all splits.

    Several processes share the images of the validation, and the first one alone evaluates all splits at the end.

    Args:
        run: The run.
        task: Its task.
        fabric: Device, precision and processes, launched.
        is_new: Whether the peers start from the weights that the configuration names, not from a checkpoint.

    Raises:
        UserError: For wrong input.
    """
    config, data = task.config, task.data
    processes = ProcessGroup(fabric)
    batches = task.batches(fabric.device, processes.share)
    splits = SPLITS if fabric.is_global_zero else ()
    evaluators = {split: task.evaluator(split, fabric.device) for split in splits}
    validation = task.evaluator("val", fabric.device, processes) if processes.is_shared else evaluators["val"]
    check_patience(config.training.patience, validation)
    seed_everything(config.training.seed, verbose=False)
    images = {"channels": data.channels, "image_size": data.image_size}
    cohort = build_cohort(config.cohort, **images, classes=len(data.class_names))
    if is_new:
        start_from_weights(cohort, config.cohort)
    with memory_of(processes.share):
        method = task.method(cohort)
    _check_batch_norm(config, fabric, cohort, method)
    trainer = Trainer(
        cohort,
        method,
        batches,
        evaluator=validation,
        config=config.training,
        fabric=fabric,
        processes=processes,
        notes=_notes(task),
        **_outputs(run, fabric),
    )
    return trainer, evaluators


def _check_batch_norm(config: Config, fabric: Fabric, *modules: torch.nn.Module) -> None:
    training = config.training
    synchronised = training.sync_batchnorm and fabric.world_size > 1
    if synchronised:
        check_synchronisable(fabric.device)
    check_batch_norm(training.batch_size, *modules, devices=fabric.world_size, synchronised=synchronised)


def _outputs(run: Run, fabric: Fabric) -> dict[str, Any]:
    """Return where a trainer writes: only the first process does."""
    if not fabric.is_global_zero:
        return {"checkpoints": NoCheckpoints(run.checkpoints.folder), "metrics": NoMetrics(run.metrics_file)}
    files = {"checkpoints": run.checkpoints, "metrics": MetricsFile(run.metrics_file)}
    return {**files, "check_folder": run.check_in_place}


def _notes(task: Task) -> dict[str, Any]:
    """Return what every checkpoint records about its data and options."""
    data = task.data
    return {
        "card": task.card().to_metadata(),
        "options": decisive_options(task.config),
        "data": {
            "fingerprint": data.fingerprint,
            "held_out": dict(data.held_out),
            "contents": torch.from_numpy(contents(data.train)),
            "class_names": list(data.class_names),
            "train_images": len(data.train),
        },
    }
