"""Loggers by name. Importing this file does not import PyTorch."""

import pkgutil
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from peerdistill.errors import UserError, reading, unknown_name
from peerdistill.training.loggers.guarded import Guarded
from peerdistill.training.loggers.logger import LoggedRun, Logger, LoggerKind
from peerdistill.user_code import user_object

FORM = "package.module:CLASS"
"""How a logger of the user's own code is named."""


def discover() -> dict[str, LoggerKind]:
    """Return the loggers of all files in this folder by name."""
    package = sys.modules["peerdistill.training.loggers"]
    modules = [import_module(f"{package.__name__}.{file.name}") for file in pkgutil.iter_modules(package.__path__)]
    found = [module.LOGGER for module in modules if hasattr(module, "LOGGER")]
    return {kind.name: kind for kind in sorted(found, key=lambda kind: kind.name)}


def listed() -> str:
    """Return the names of the loggers with a few words about each, for help."""
    return ", ".join([*(f"{kind.name} ({kind.help})" for kind in discover().values()), FORM])


def find(name: str) -> LoggerKind:
    """Return a logger.

    Args:
        name: A name, or ``package.module:CLASS`` of the user's own code: called with a :class:`LoggedRun`, it returns a
            :class:`Logger`.

    Raises:
        UserError: The name is unknown, or the module cannot be imported or does not hold such a class.
    """
    known = discover()
    if name in known:
        return known[name]
    if ":" not in name:
        raise unknown_name("logger", name, [*known, FORM])
    found = user_object(name, "logger")
    if not callable(found):
        what = "nothing" if found is None else f"a {type(found).__name__}"
        raise UserError(f"logger {name} must be a class that is called with a LoggedRun, found {what}")
    return LoggerKind(name, "", open=cast(Callable[[LoggedRun], Logger], found))


def check_names(names: Sequence[str]) -> None:
    """Raise UserError for an unknown logger, one that is named twice, or one whose package is not installed."""
    for name in names:
        kind = find(name)
        if names.count(name) > 1:
            raise UserError(f"loggers names {name} twice: name it once")
        if kind.package is not None and not _is_installed(kind.package):
            raise UserError(
                f"the logger {name} needs the package {kind.package}, which is not installed: "
                f"pip install {kind.install}"
            )


def _is_installed(package: str) -> bool:
    spec = find_spec(package)
    return spec is not None and spec.origin is not None  # else it is a folder of that name, such as those of wandb


def open_loggers(names: Sequence[str], run: LoggedRun) -> list[Logger]:
    """Return the loggers of a run. What they write to stdout when they start goes to stderr.

    Raises:
        UserError: A logger cannot be started, for example because its server does not answer.
    """
    opened: list[Logger] = []
    try:
        for name in names:
            with reading(f"the logger {name} cannot be started"), redirect_stdout(sys.stderr):
                logger = find(name).open(run)
            if not isinstance(logger, Logger):
                raise UserError(
                    f"the logger {name} must be a peerdistill.training.Logger, found a {type(logger).__name__}"
                )
            opened.append(Guarded(logger, name, run.folder))
    except BaseException:
        close_loggers(opened)
        raise
    return opened


def close_loggers(loggers: Sequence[Logger]) -> None:
    """Close loggers; what they write to stdout goes to stderr."""
    with redirect_stdout(sys.stderr):
        for logger in loggers:
            logger.close()
