"""Terms: each one part of a loss, from what a cohort put out to one scalar.

Every public class and function of a file of this folder is a name of this room, found by being there. PyTorch is
imported with the first name that is asked for.
"""

import pkgutil
from importlib import import_module
from typing import Any


def _public() -> dict[str, Any]:
    """Return what the files of this folder define, by name."""
    modules = [import_module(f"{__name__}.{file.name}") for file in pkgutil.iter_modules(__path__)]
    return {
        name: value
        for module in modules
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return sorted(_public())
    if not name.startswith("_"):
        found = _public()
        if name in found:
            globals().update(found)
            return found[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(_public())
