"""Functions in the user's own code, given as ``package.module:function`` on the command line."""

import re
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from peerdistill.errors import UserError

FORM = "package.module:function"
"""Form of the name of such a function."""

_NAME = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")


def is_function_name(name: str) -> bool:
    """Return whether ``name`` has the form ``package.module:function``."""
    return _NAME.fullmatch(name) is not None


def user_function(name: str, kind: str) -> Callable[..., Any]:
    """Import the function called ``package.module:function``.

    Args:
        name: Name of the function.
        kind: What the function returns, for error messages: "backbone" or "method".

    Raises:
        UserError: As :func:`user_object`, and if there is no such function.

    Example:
        >>> user_function("torch.nn:Identity", "backbone")()
        Identity()
    """
    function = user_object(name, kind)
    if not callable(function):
        module_name, _, function_name = name.partition(":")
        raise UserError(f"{kind} {name}: {module_name} has no function '{function_name}'")
    return function


def user_object(name: str, kind: str) -> Any:
    """Import the object called ``package.module:name``; return None if the module has no such object.

    The module must be in an installed package or in the current folder.

    Args:
        name: Name of the object.
        kind: What the object is, for error messages: "method", "export format".

    Raises:
        UserError: If the name has a different form, or the module can't be imported.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(f"{kind} {name}: the name must have the form {FORM}")
    module_name, object_name = found["module"], found["function"]
    try:
        module = _imported(module_name)
    except ModuleNotFoundError as error:
        instead = f": write {name.replace('.py:', ':')}" if module_name.endswith(".py") else ""
        raise UserError(
            f"{kind} {name}: there is no module {error.name} in the current folder or in installed packages{instead}"
        ) from error
    except Exception as error:
        raise UserError(f"{kind} {name}: {_failure(module_name, error)}") from error
    return getattr(module, object_name, None)


def _imported(module: str) -> ModuleType:
    """Import a module from the current folder or an installed package, as ``python -m`` does."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return import_module(module)
    finally:
        sys.path.remove(here)


def _failure(module: str, error: Exception) -> str:
    """Return one line with the reason why an import failed and the line of code that raised it."""
    where = ""
    if not isinstance(error, SyntaxError):  # its message contains the line
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f" ({frame.filename}, line {frame.lineno})"
    return f"{module} can't be imported: {type(error).__name__}: {' '.join(str(error).split())}{where}"
