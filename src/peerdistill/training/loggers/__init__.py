"""Loggers of training progress: one file each, which holds ``LOGGER`` and is found because it is in this folder.

Importing this package does not import PyTorch: the command line lists the loggers.
"""

from peerdistill.training.loggers.catalog import FORM, check_names, close_loggers, discover, find, listed, open_loggers
from peerdistill.training.loggers.console import ConsoleLog
from peerdistill.training.loggers.logger import LoggedRun, Logger, LoggerKind, StepReading
from peerdistill.training.loggers.tensorboard import TensorBoardLog

__all__ = [
    "FORM",
    "ConsoleLog",
    "LoggedRun",
    "Logger",
    "LoggerKind",
    "StepReading",
    "TensorBoardLog",
    "check_names",
    "close_loggers",
    "discover",
    "find",
    "listed",
    "open_loggers",
]
