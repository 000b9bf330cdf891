"""Training: from a configuration to a result."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lightning_fabric import Fabric
from rich.console import Console

from peerdistill.config.budget import Budget, check_one_process, plannable
from peerdistill.config.config import Config
from peerdistill.data.arrays import GivenImages
from peerdistill.errors import Failure, UserError
from peerdistill.evaluation import Evaluator
from peerdistill.files import write_whole
from peerdistill.runs.announce import announce, say, why_stopped
from peerdistill.runs.budget import check_same_budget, with_plan_of
from peerdistill.runs.build import check_device
from peerdistill.runs.environment import describe, difference_from
from peerdistill.runs.fitting import with_batches_of
from peerdistill.runs.followers import Followers
from peerdistill.runs.given_images import keep_images
from peerdistill.runs.identity import check_same_options
from peerdistill.runs.prepare import close_workers, launched, prepare, trainer_of
from peerdistill.runs.preprocessing import as_expected, as_started
from peerdistill.runs.result import result_of
from peerdistill.runs.resume import check_data_of, load_into_trainer, resumable
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task
from peerdistill.runs.tasks import load_task
from peerdistill.training import ConsoleLog, InterruptRequest, LoggedRun, Logger, Trainer, ignore_signals
from peerdistill.training.loggers import close_loggers, open_loggers


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
            that is resumed keeps its plan, and another budget is refused.

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
    fabric = launched(config, config.training.devices)
    if budget is not None and not resume:
        check_one_process(fabric.world_size)
    followers = Followers(fabric)
    if not fabric.is_global_zero:
        return _followed(config, run, fabric, followers, resume, flags)
    lead = _Lead(fabric, followers, console or Console())
    with followers.informed():
        if resume:
            run.require()
            if budget is not None:
                check_same_budget(run, budget)
            with run.held():
                return _resumed(config, run, lead, flags)
        run.require_free()
        if budget is not None:
            say(lead.console, f"planning for {budget}: measuring a few steps")
        task, trainer, evaluators, plan = prepare(config, run, fabric=fabric, budget=budget, **flags)
        with run.started(task.config):
            keep_images(run, given)
            if plan is not None:
                say(lead.console, *plan.reasons)
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
        trainer, evaluators = trainer_of(run, task, fabric, is_new=is_new)
    except (UserError, Failure):
        followers.wait()  # the first process usually has the same error, and sends it
        raise
    file = followers.wait()
    if file is not None:
        with followers.agreed():
            load_into_trainer(run, trainer, trainer.checkpoints.load(file), file)
    try:
        trainer.fit()
    finally:
        close_workers(trainer, evaluators)
    with ignore_signals():  # the first process decides what a signal does to the evaluation
        return followers.end({})


def _resumed(config: Config, run: Run, lead: _Lead, flags: Mapping[str, Any]) -> dict[str, Any]:
    config = with_batches_of(as_started(config, run.config), run.config)
    check_same_options(run.path, run.config, config)
    found = resumable(run, config)
    task = load_task(config, **flags)
    if found is not None:
        check_data_of(found.state, task)
    trainer, evaluators = trainer_of(run, task, lead.fabric, is_new=found is None)
    if found is None:
        trainer.metrics.truncate(0)
        say(lead.console, "no checkpoint was written yet: starting from the beginning")
        file = None
    else:
        file = found.file
        lost = load_into_trainer(run, trainer, found.state, file)
        other = difference_from(run.environment_file, describe(trainer.fabric.device))
        for sentence in filter(None, (found.warning, *lost, other)):
            say(lead.console, sentence, style="yellow")
    del found  # its state is as large as the cohort, method and optimiser together
    run.remember_places(config)
    keep_images(run, flags["given"])
    return _finished(run, task, trainer, evaluators, lead, file)


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
    announce(console, run, task, trainer)
    trainer.loggers = _loggers(console, run, task.config, trainer)
    lead.followers.start(checkpoint)
    try:
        if checkpoint is not None:
            lead.followers.agree()  # the others load it now
        result = _trained(run, task, trainer, evaluators)
    finally:
        close_loggers(trainer.loggers)
    if trainer.stopped_early:
        say(console, why_stopped(trainer))
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


def _loggers(console: Console, run: Run, config: Config, trainer: Trainer) -> list[Logger]:
    epochs, done = trainer.config.epochs, trainer.progress.step
    about = LoggedRun(run.path, config.as_dict(), step=done)
    chosen = open_loggers(config.training.loggers, about)  # before the progress bar starts
    return [ConsoleLog(console, epochs=epochs, steps=trainer.steps, done=done), *chosen]
