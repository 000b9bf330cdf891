"""A logger whose errors do not stop the training."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from peerdistill.errors import PeerdistillWarning, cause
from peerdistill.training.loggers.logger import Logger, StepReading


class Guarded(Logger):
    """Passes everything on to a logger until it fails; then one warning is shown and training continues without it.

    A full disk, a lost connection or an error in a user's own logger does not stop a run of many hours.

    Args:
        logger: The logger.
        name: Its name, for the warning.
        folder: The run folder. If it no longer exists, there is no warning: the trainer reports that.
    """

    def __init__(self, logger: Logger, name: str, folder: Path):
        self._logger = logger
        self._name = name
        self._folder = folder
        self._has_failed = False

    def advance(self, step: int) -> None:
        """Pass on the step."""
        self._try(self._logger.advance, step)

    def step(self, reading: StepReading) -> None:
        """Pass on the reading."""
        self._try(self._logger.step, reading)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Pass on the line of an epoch."""
        self._try(self._logger.epoch, record)

    def result(self, result: Mapping[str, Any]) -> None:
        """Pass on the result."""
        self._try(self._logger.result, result)

    def close(self) -> None:
        """Close the logger, also one that has failed."""
        if self._has_failed:
            with suppress(Exception):
                self._logger.close()
        else:
            self._try(self._logger.close)

    def _try(self, call: Callable[..., None], *values: Any) -> None:
        if self._has_failed:
            return
        try:
            call(*values)
        except Exception as error:  # anything: it is code of the user, or of a library that talks to a server
            self._has_failed = True
            if self._folder.exists():
                text = f"the logger {self._name} fails: {cause(error)}; training continues without it"
                warnings.warn(text, PeerdistillWarning, stacklevel=3)
