"""Trackio, which keeps its data on this machine or in a Hugging Face Space (``TRACKIO_SPACE_ID``)."""

import os
import secrets

from peerdistill.training.loggers.logger import LoggedRun, Logger, LoggerKind
from peerdistill.training.loggers.tracker import PROJECT, log_to, mark_of


def _open(run: LoggedRun) -> Logger:
    # An optional package: without it, pyright finds nothing, or this file.
    from trackio import init  # pyright: ignore[reportMissingImports, reportAttributeAccessIssue]

    mark = mark_of(run, "trackio")
    if mark.run is None:
        mark.run = f"{run.folder.name}-{secrets.token_hex(4)}"  # Trackio knows a run by its name
    project = os.environ.get("TRACKIO_PROJECT", PROJECT)
    return log_to(init, lambda tracked, _: tracked.finish(), run, mark, project=project, name=mark.run, embed=False)


LOGGER = LoggerKind("trackio", "Trackio", open=_open, package="trackio", install="trackio")
