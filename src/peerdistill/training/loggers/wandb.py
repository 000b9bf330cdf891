"""Weights & Biases. Its environment variables choose project, server and mode (``WANDB_MODE=offline``)."""

import os
import secrets

from peerdistill.training.loggers.logger import LoggedRun, Logger, LoggerKind
from peerdistill.training.loggers.tracker import PROJECT, log_to, mark_of


def _open(run: LoggedRun) -> Logger:
    import wandb  # pyright: ignore[reportMissingImports]

    mark = mark_of(run, "wandb")
    if mark.run is None:
        mark.run = secrets.token_hex(4)
    return log_to(
        wandb.init,
        lambda tracked, is_done: tracked.finish(exit_code=0 if is_done else 1),
        run,
        mark,
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=os.environ.get("WANDB_NAME", run.folder.name),
        id=mark.run,
    )


LOGGER = LoggerKind("wandb", "Weights & Biases", open=_open, package="wandb", install="wandb")
