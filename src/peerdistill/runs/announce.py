"""What a training says on the terminal beside its progress."""

from rich.console import Console

from peerdistill.runs.run import Run
from peerdistill.runs.task import Task
from peerdistill.training import Trainer


def announce(console: Console, run: Run, task: Task, trainer: Trainer) -> None:
    """Say what is trained, on which images and where."""
    config, data = task.config, task.data
    splits = {"training": data.train, "validation": data.val, "test": data.test}
    sizes = [f"{len(split)} {name}" for name, split in splits.items() if split is not None]
    skipped = f", {data.skipped} unreadable pictures left out" if data.skipped else ""
    say(
        console,
        f"{config.method}: {_peers(task, trainer)}{_devices(trainer)}",
        f"{len(data.class_names)} classes, images: {', '.join(sizes)}{skipped}",
        *task.lines,
        f"run folder: {run.path}",
    )


def say(console: Console, *lines: str, style: str | None = None) -> None:
    """Print lines as they are, of any length."""
    console.print("\n".join(lines), style=style, highlight=False, markup=False, soft_wrap=True)


def why_stopped(trainer: Trainer) -> str:
    """Return why a training has stopped early."""
    progress = trainer.progress
    return (
        f"stopped early after epoch {progress.epoch} of {trainer.config.epochs}: the leader's validation top-1 was not "
        f"better in the last {progress.epochs_without_better} epochs"
    )


def _peers(task: Task, trainer: Trainer) -> str:
    cohort = trainer.cohort
    names = [backbone.name for backbone in cohort.backbones]
    peers = ", ".join(names) if task.config.cohort.peer_backbones else f"{cohort.peers} x {names[-1]}"
    return f"{peers}, copies of each stage {list(cohort.copies)}"


def _devices(trainer: Trainer) -> str:
    processes = trainer.processes
    return f", on {processes.share.processes} devices" if processes.is_shared else ""
