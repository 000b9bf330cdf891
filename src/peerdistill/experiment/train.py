"""A run from its configuration to its result."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric, seed_everything
from rich.console import Console
from torch import nn

from peerdistill.cohort import Cohort
from peerdistill.data import Dataset
from peerdistill.data.words import note_shadowed_folder
from peerdistill.errors import UserError
from peerdistill.experiment.build import build_cohort, check_device, check_same_data, deployed, is_same_split
from peerdistill.experiment.config import Config
from peerdistill.experiment.environment import describe
from peerdistill.experiment.run import Run, write_whole
from peerdistill.experiment.task import SPLITS, Task
from peerdistill.experiment.tasks import load_task
from peerdistill.experiment.weights import start_from_weights
from peerdistill.training import ConsoleLog, Logger, MetricsFile, TensorBoardLog, Trainer

# A resumed run may use other hardware and report at another pace; everything else decides its numbers.
_MAY_CHANGE = {"device", "workers", "log_every", "checkpoint_every", "root", "cache", "cache_gib"}


def train(
    config: Config,
    path: Path | str,
    *,
    resume: bool = False,
    download: bool = False,
    skip_unreadable: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train as ``config`` says and return the result, which is written to ``result.json`` as well.

    Nothing is written before data, cohort and method have been built.

    Args:
        config: Everything that decides the numbers.
        path: The run's folder: new or empty, or with ``resume`` one that holds a run.
        resume: Go on from the run's last checkpoint.
        download: Fetch data that can be fetched.
        skip_unreadable: Leave out pictures that can't be read.
        console: Where progress is shown; by default the terminal.

    Raises:
        UserError: For bad input.
        Interrupted: After Ctrl-C, with a checkpoint written.
        Diverged: Where the loss is not finite.
    """
    console = console or Console()
    run = Run(path)
    config.check()
    check_device(config.training.device)
    _check_folder(run, config, resume=resume)
    if not resume:
        note_shadowed_folder(config.data.data, config.data.names)
    task = load_task(config, download=download, skip_unreadable=skip_unreadable)
    state = _last_state(run, task.data, console) if resume else None
    trainer, exams = _prepared(config, run, task, from_the_beginning=state is None)
    if state is not None:
        trainer.load_state_dict(state)
        del state  # as large as cohort, method and optimiser together
    elif resume:
        trainer.metrics.truncate(0)
    else:
        run.create(config)
    if not run.environment_file.exists():
        write_whole(run.environment_file, json.dumps(describe(trainer.fabric.device), indent=2) + "\n")
    _announce(console, run, config, task.data, trainer.cohort)
    trainer.loggers = _loggers(console, run, trainer)
    trainer.fit()
    result = _result(trainer, task, exams)
    write_whole(run.result_file, json.dumps(result, indent=2) + "\n")
    return result


def _prepared(config: Config, run: Run, task: Task, *, from_the_beginning: bool) -> tuple[Trainer, dict[str, Any]]:
    """Return the trainer of a run, before its first step, and what its peers are judged by on each split."""
    data = task.data
    fabric = Fabric(accelerator=config.training.device, devices=1, precision=config.training.precision)
    fabric.launch()
    batches = task.batches(fabric.device)
    exams = {split: task.exam(split, fabric.device) for split in SPLITS}
    seed_everything(config.training.seed, verbose=False)
    images = {"channels": data.channels, "image_size": data.image_size}
    cohort = build_cohort(config.cohort, **images, classes=len(data.class_names))
    if from_the_beginning:
        start_from_weights(cohort, config.cohort)
    trainer = Trainer(
        cohort,
        task.method(cohort),
        batches,
        validation=exams["val"],
        judge=task.judge,
        config=config.training,
        fabric=fabric,
        checkpoints=run.checkpoints,
        metrics=MetricsFile(run.metrics_file),
        notes=_notes(task),
    )
    return trainer, exams


def _check_folder(run: Run, config: Config, *, resume: bool) -> None:
    if not resume:
        run.require_free()
        return
    now, before = config.as_dict(), run.config.as_dict()
    for name in sorted(before.keys() | now.keys()):
        if name not in _MAY_CHANGE and before.get(name) != now.get(name):
            raise UserError(
                f"{run.path} was started with {name} {before.get(name)}, found {now.get(name)}: "
                "a resumed run keeps its configuration"
            )


def _notes(task: Task) -> dict[str, Any]:
    """Return what every checkpoint says of its data."""
    data = task.data
    return {
        "card": task.card().to_metadata(),
        "data": {
            "fingerprint": data.fingerprint,
            "held_out": dict(data.held_out),
            "class_names": list(data.class_names),
            "train_images": len(data.train),
        },
    }


def _last_state(run: Run, data: Dataset, console: Console) -> dict[str, Any] | None:
    """Return the checkpoint to go on from, None where none was written yet."""
    state, warning = run.checkpoints.load_last()
    if state is None:
        console.print("no checkpoint was written yet: starting from the beginning")
        return None
    check_same_data(state["notes"]["data"], data)
    if not is_same_split(state["notes"]["data"], data, "val"):
        raise UserError(
            "the validation images, which choose the best epoch, are not those that the run was started with"
        )
    if warning:
        console.print(warning, style="yellow", markup=False, soft_wrap=True)
    return state


def _announce(console: Console, run: Run, config: Config, data: Dataset, cohort: Cohort) -> None:
    splits = {"training": data.train, "validation": data.val, "test": data.test}
    sizes = [f"{len(split)} {name}" for name, split in splits.items() if split is not None]
    skipped = f", {data.skipped} unreadable pictures left out" if data.skipped else ""
    names = [backbone.name for backbone in cohort.backbones]
    peers = ", ".join(names) if config.cohort.peer_backbones else f"{cohort.peers} x {names[-1]}"
    episodes = config.episodes
    shape = [f"{episodes.ways}-way {episodes.shots}-shot episodes, {episodes.queries} queries"] if episodes else []
    lines = (
        f"{config.method}: {peers}, copies of each stage {list(cohort.copies)}",
        f"{len(data.class_names)} classes, images: {', '.join(sizes)}{skipped}",
        *shape,
        f"run folder: {run.path}",
    )
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _loggers(console: Console, run: Run, trainer: Trainer) -> list[Logger]:
    epochs, done = trainer.config.epochs, trainer.progress.step
    steps = epochs * trainer.batches.steps_per_epoch
    return [ConsoleLog(console, epochs=epochs, steps=steps, done=done), TensorBoardLog(run.tensorboard, done)]


def _result(trainer: Trainer, task: Task, exams: Mapping[str, Any]) -> dict[str, Any]:
    modules = {
        "leader": deployed(trainer.cohort, task.card()),
        "cohort": trainer.cohort,
        "method": trainer.method,
    }
    sizes = {name: _trained_parameters(module) for name, module in modules.items()}
    return {
        "parameters": sizes,
        **_final_accuracies(trainer, exams),
        "skipped_pictures": task.data.skipped,
        "seconds": round(trainer.seconds, 1),
    }


def _trained_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _final_accuracies(trainer: Trainer, exams: Mapping[str, Any]) -> dict[str, Any]:
    """Return last and best epoch on validation and test images; the cohort is then as of the best epoch."""

    def measured(epoch: int) -> dict[str, Any]:
        found = {
            name: trainer.judge(trainer.prepared, trainer.method.ensemble, exam).as_dict()
            for name, exam in exams.items()
            if exam is not None
        }
        return {"epoch": epoch, **found}

    result = {"last": measured(trainer.progress.epoch), "best": None}
    if trainer.progress.best_epoch:
        best = trainer.checkpoints.load(trainer.checkpoints.best)
        trainer.cohort.load_state_dict(best["cohort"])
        trainer.method.load_state_dict(best["method"])
        result["best"] = measured(trainer.progress.best_epoch)
    return result
