"""Functions of the user's own code, named ``package.module:function`` on the command line."""

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
"""How such a function is named."""

_NAME = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<function>[^\W\d]\w*)")


def user_function(name: str, kind: str) -> Callable[..., Any]:
    """Return the function called ``package.module:function``.

    Args:
        name: The name.
        kind: What the function makes, for errors: "backbone", "method".

    Raises:
        UserError: As :func:`user_object`, and if there is no such function.
    """
    function = user_object(name, kind)
    if not callable(function):
        module_name, _, function_name = name.partition(":")
        raise UserError(f"{kind} {name}: {module_name} has no function '{function_name}'")
    return function


def user_object(name: str, kind: str) -> Any:
    """Return the object called ``package.module:name``, or None if the module has no such object.

    The module belongs to an installed package or lies in the current folder.

    Args:
        name: The name.
        kind: What the object is, for errors: "method", "export format".

    Raises:
        UserError: If the name has another form, or the module cannot be imported.
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise UserError(f"{kind} {name}: its name must have the form {FORM}")
    module_name, object_name = found["module"], found["function"]
    try:
        module = _imported(module_name)
    except ModuleNotFoundError as error:
        raise UserError(f"{kind} {name}: there is no module {error.name} here or among installed packages") from error
    except Exception as error:
        raise UserError(f"{kind} {name}: {_failure(module_name, error)}") from error
    return getattr(module, object_name, None)


def _imported(module: str) -> ModuleType:
    """Import a module of an installed package or of the current folder, as ``python -m`` would."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return import_module(module)
    finally:
        sys.path.remove(here)


def _failure(module: str, error: Exception) -> str:
    """Return in one line why a module can't be imported, and where it says so."""
    where = ""
    if not isinstance(error, SyntaxError):  # which says so itself
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f" ({frame.filename}, line {frame.lineno})"
    return f"{module} can't be imported: {type(error).__name__}: {' '.join(str(error).split())}{where}"
