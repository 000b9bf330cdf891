"""Training: from a configuration to a result."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning_fabric import Fabric, seed_everything
from rich.console import Console

from peerdistill.cohort import Cohort
from peerdistill.config.budget import Budget, check_one_process, plannable
from peerdistill.config.config import Config
from peerdistill.contrast import memory_of
from peerdistill.data.arrays import GivenImages
from peerdistill.data.batches import TrainBatches
from peerdistill.data.dataset import contents
from peerdistill.errors import Failure, UserError
from peerdistill.evaluation import Evaluator
from peerdistill.files import write_whole
from peerdistill.runs.budget import Plan, plan_for, with_plan_of
from peerdistill.runs.build import (
    build_cohort,
    check_batch_norm,
    check_device,
    check_patience,
    check_same_data,
    check_synchronisable,
    is_same_split,
)
from peerdistill.runs.environment import describe, difference_from
from peerdistill.runs.fitting import with_batches_of
from peerdistill.runs.followers import Followers, NoCheckpoints, NoMetrics
from peerdistill.runs.given_images import keep_images
from peerdistill.runs.identity import check_belongs, check_same_options, decisive_options, load_into
from peerdistill.runs.preprocessing import as_expected, as_started
from peerdistill.runs.pretrained import start_from_weights
from peerdistill.runs.result import result_of
from peerdistill.runs.run import Run
from peerdistill.runs.task import SPLITS, Task
from peerdistill.runs.tasks import load_task
from peerdistill.training import (
    ConsoleLog,
    InterruptRequest,
    LoggedRun,
    Logger,
    MetricsFile,
    Trainer,
    ignore_signals,
)
from peerdistill.training.loggers import close_loggers, open_loggers
from peerdistill.training.parallel import ProcessGroup, fabric_for


def train(
    config: Config,
    path: Path | str,
    *,
    resume: bool = False,
    download: bool = False,
    skip_unreadable: bool = False,
    console: Console | None = None,
    given: GivenImages | None = None,
    budget: Budget | None = None,
) -> dict[str, Any]:
    """Train a configuration and return the result, which is also written to ``result.json``.

    Nothing is written before data, cohort and method have been built. If training fails before its first checkpoint,
    nothing is left behind.

    Args:
        config: Everything that determines the results.
        path: The run folder: new or empty, or with ``resume`` one that holds a run.
        resume: Continue from the last checkpoint of the run.
        download: Download data that are missing.
        skip_unreadable: Leave out pictures that cannot be read.
        console: Where progress is shown; by default the terminal.
        given: The images that the npz files in ``config`` hold; the run folder keeps them.
        budget: The time in which the run must end: epochs, and peers if nobody chose them, are planned for it. A run
            that is resumed keeps its plan.

    Raises:
        UserError: For wrong input, or if another process trains in the folder.
        Interrupted: After Ctrl-C, SIGTERM or SIGHUP. A checkpoint was written.
        Diverged: The loss is not finite.
        Failure: A full disk, a killed data worker and the like.
    """
    run = Run(path)
    if budget is not None:
        config = with_plan_of(config, run.config) if resume else plannable(config)
    config.check()
    check_device(config.training.device)
    flags = {"download": download, "skip_unreadable": skip_unreadable, "given": given}
    fabric = _launched(config, config.training.devices)
    if budget is not None and not resume:
        check_one_process(fabric.world_size)
    followers = Followers(fabric)
    if not fabric.is_global_zero:
        return _followed(config, run, fabric, followers, resume, flags)
    lead = _Lead(fabric, followers, console or Console())
    with followers.informed():
        if resume:
            run.require()
            with run.held():
                return _resumed(config, run, lead, flags)
        run.require_free()
        if budget is not None:
            _say(lead.console, f"planning for {budget}: measuring a few steps")
        task, trainer, evaluators, plan = prepare(config, run, fabric=fabric, budget=budget, **flags)
        with run.started(task.config):
            keep_images(run, given)
            if plan is not None:
                _say(lead.console, *plan.reasons)
                write_whole(run.plan_file, json.dumps(plan.as_dict(), indent=2) + "\n")
            return _finished(run, task, trainer, evaluators, lead)


class _Lead(NamedTuple):
    """What only the first process has: it prints, and starts the others."""

    fabric: Fabric
    followers: Followers
    console: Console


def _followed(
    config: Config, run: Run, fabric: Fabric, followers: Followers, resume: bool, flags: Mapping[str, Any]
) -> dict[str, Any]:
    """Train as one of the processes that follow the first one, and return its result."""
    try:
        expected = with_batches_of(as_started(config, run.config), run.config) if resume else as_expected(config)
        task = load_task(expected, **flags)
        is_new = not (resume and run.checkpoints.exist)  # as the first process finds it
        trainer, evaluators = _prepared(run, task, fabric, from_the_beginning=is_new)
    except (UserError, Failure):
        followers.wait()  # the first process usually has the same error, and sends it
        raise
    file = followers.wait()
    if file is not None:
        with followers.agreed():
            _load(trainer, trainer.checkpoints.load(file), file)
    try:
        trainer.fit()
    finally:
        close_workers(trainer, evaluators)
    with ignore_signals():  # the first process decides what a signal does to the evaluation
        return followers.end({})


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
    fabric = fabric or _launched(config, devices=1)
    plan = None
    if budget is not None:
        plan = plan_for(task, budget, run, partial(opened, fabric))
        task = task.configured(plan.config)
    trainer, evaluators = _prepared(run, task, fabric, from_the_beginning=True)
    return Prepared(task, trainer, evaluators, plan)


@contextmanager
def opened(fabric: Fabric, task: Task, run: Run) -> Iterator[tuple[Trainer, Mapping[str, Evaluator | None]]]:
    """Yield the trainer of a task before its first step, and its evaluators; then stop their workers."""
    trainer, evaluators = _prepared(run, task, fabric, from_the_beginning=True)
    try:
        yield trainer, evaluators
    finally:
        close_workers(trainer, evaluators)


def _launched(config: Config, devices: int | None) -> Fabric:
    training = config.training
    fabric = fabric_for(training.device, training.precision, devices)
    fabric.launch()
    return fabric


def _resumed(config: Config, run: Run, lead: _Lead, flags: Mapping[str, Any]) -> dict[str, Any]:
    config = with_batches_of(as_started(config, run.config), run.config)
    check_same_options(run.path, run.config, config)
    state, file, warning = _last_checkpoint(run, config)
    task = load_task(config, **flags)
    if state is not None:
        check_same_data(state["notes"]["data"], task.data)
        if not is_same_split(state["notes"]["data"], task.data, "val"):
            raise UserError(
                "the validation images, which select the best epoch, have changed since the run was started"
            )
    is_new = state is None
    trainer, evaluators = _prepared(run, task, lead.fabric, from_the_beginning=is_new)
    if state is None:
        trainer.metrics.truncate(0)
        lead.console.print("no checkpoint was written yet: starting from the beginning")
    else:
        lost = _load(trainer, state, file)
        del state  # as large as the cohort, method and optimiser together
        other = difference_from(run.environment_file, describe(trainer.fabric.device))
        for sentence in filter(None, (warning, lost, other, _without_best(run, trainer))):
            lead.console.print(sentence, style="yellow", markup=False, highlight=False, soft_wrap=True)
    run.remember_places(config)
    keep_images(run, flags["given"])
    return _finished(run, task, trainer, evaluators, lead, None if is_new else file)


def _last_checkpoint(run: Run, config: Config) -> tuple[dict[str, Any] | None, Path, str]:
    """Return the checkpoint to resume (None if none was written yet), its file, and a warning about the last one.

    Raises:
        UserError: The checkpoints are damaged or missing, or belong to another run.
    """
    checkpoints = run.checkpoints
    state, warning = checkpoints.load_last()
    file = checkpoints.previous if warning else checkpoints.last
    if state is not None:
        check_belongs(state, file, config, run.config_file)
        return state, file, warning
    epochs = len(MetricsFile(run.metrics_file).read())
    # The line of an epoch is written before its checkpoint.
    if epochs > 1 or run.result_file.exists() or checkpoints.best.exists():
        raise UserError(
            f"{checkpoints.last} and the checkpoint before it are missing: the run cannot be resumed, although "
            f"{epochs} epochs were trained"
        )
    return None, file, ""


def _load(trainer: Trainer, state: Mapping[str, Any], file: Path) -> str:
    return load_into(trainer, trainer.shards.completed(state), file)


def _without_best(run: Run, trainer: Trainer) -> str:
    """Search for the best epoch again if its checkpoint is missing, and return a warning about it."""
    best = run.checkpoints.best
    if not trainer.progress.best_epoch or best.exists():
        return ""
    trainer.progress.best_top1, trainer.progress.best_epoch = -1.0, 0
    return f"there is no checkpoint {best}: the best epoch is selected from the remaining epochs"


def _finished(
    run: Run,
    task: Task,
    trainer: Trainer,
    evaluators: Mapping[str, Evaluator | None],
    lead: _Lead,
    checkpoint: Path | None = None,
) -> dict[str, Any]:
    """Train to the end in a locked folder, and return the result.

    Args:
        run: The run.
        task: Its task.
        trainer: Its trainer, with the state to start from.
        evaluators: Evaluators of all splits.
        lead: What only the first process has.
        checkpoint: The checkpoint that holds the state; None: it is new.
    """
    console = lead.console
    if not run.environment_file.exists():
        write_whole(run.environment_file, json.dumps(describe(trainer.fabric.device), indent=2) + "\n")
    _announce(console, run, task, trainer.cohort, trainer.processes)
    trainer.loggers = _loggers(console, run, task.config, trainer)
    lead.followers.start(checkpoint)
    try:
        if checkpoint is not None:
            lead.followers.agree()  # the others load it now
        result = _trained(run, task, trainer, evaluators)
    finally:
        close_loggers(trainer.loggers)
    if trainer.stopped_early:
        console.print(_why_stopped(trainer), highlight=False, soft_wrap=True)
    return lead.followers.end(result)


def _trained(run: Run, task: Task, trainer: Trainer, evaluators: Mapping[str, Evaluator | None]) -> dict[str, Any]:
    """Train to the end, evaluate, and return the result after it was written and logged."""
    try:
        trainer.fit()
        with InterruptRequest() as interrupt, interrupt.at_once():
            result = result_of(run, trainer, task, evaluators)
    finally:
        close_workers(trainer, evaluators)
    run.check_in_place()
    write_whole(run.result_file, json.dumps(result, indent=2) + "\n")
    for logger in trainer.loggers:
        logger.result(result)
    return result


def close_workers(trainer: Trainer, evaluators: Mapping[str, Evaluator | None]) -> None:
    """Stop the workers that read images. At the end of the process, this would take seconds."""
    with ignore_signals():
        if isinstance(trainer.batches, TrainBatches):
            trainer.batches.close()
        for evaluator in (*evaluators.values(), trainer.evaluator):
            if evaluator is not None:
                evaluator.close()


def _prepared(
    run: Run, task: Task, fabric: Fabric, *, from_the_beginning: bool
) -> tuple[Trainer, dict[str, Evaluator | None]]:
    """Return the trainer of a run before its first step, and the evaluators of all splits.

    Several processes share the images of the validation, and the first one alone evaluates all splits at the end.
    """
    config, data = task.config, task.data
    processes = ProcessGroup(fabric)
    batches = task.batches(fabric.device, processes.share)
    splits = SPLITS if fabric.is_global_zero else ()
    evaluators = {split: task.evaluator(split, fabric.device) for split in splits}
    validation = task.evaluator("val", fabric.device, processes) if processes.is_shared else evaluators["val"]
    seed_everything(config.training.seed, verbose=False)
    images = {"channels": data.channels, "image_size": data.image_size}
    cohort = build_cohort(config.cohort, **images, classes=len(data.class_names))
    if from_the_beginning:
        start_from_weights(cohort, config.cohort)
    with memory_of(processes.share):
        method = task.method(cohort)
    synchronised = config.training.sync_batchnorm and processes.is_shared
    if synchronised:
        check_synchronisable(fabric.device)
    devices = processes.share.processes
    check_batch_norm(config.training.batch_size, cohort, method, devices=devices, synchronised=synchronised)
    check_patience(config.training.patience, validation)
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


def _on_devices(processes: ProcessGroup) -> str:
    return f", on {processes.share.processes} devices" if processes.is_shared else ""


def _announce(console: Console, run: Run, task: Task, cohort: Cohort, processes: ProcessGroup) -> None:
    config, data = task.config, task.data
    splits = {"training": data.train, "validation": data.val, "test": data.test}
    sizes = [f"{len(split)} {name}" for name, split in splits.items() if split is not None]
    skipped = f", {data.skipped} unreadable pictures left out" if data.skipped else ""
    names = [backbone.name for backbone in cohort.backbones]
    peers = ", ".join(names) if config.cohort.peer_backbones else f"{cohort.peers} x {names[-1]}"
    lines = (
        f"{config.method}: {peers}, copies of each stage {list(cohort.copies)}{_on_devices(processes)}",
        f"{len(data.class_names)} classes, images: {', '.join(sizes)}{skipped}",
        *task.lines,
        f"run folder: {run.path}",
    )
    _say(console, *lines)


def _say(console: Console, *lines: str) -> None:
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _why_stopped(trainer: Trainer) -> str:
    progress = trainer.progress
    return (
        f"stopped early after epoch {progress.epoch} of {trainer.config.epochs}: the leader's validation top-1 was not "
        f"better in the last {progress.epochs_without_better} epochs"
    )


def _loggers(console: Console, run: Run, config: Config, trainer: Trainer) -> list[Logger]:
    epochs, done = trainer.config.epochs, trainer.progress.step
    about = LoggedRun(run.path, config.as_dict(), step=done)
    chosen = open_loggers(config.training.loggers, about)  # before the progress bar starts
    return [ConsoleLog(console, epochs=epochs, steps=trainer.steps, done=done), *chosen]
