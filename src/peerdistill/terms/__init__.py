"""Terms: parts of a loss. A term maps the output of a cohort and a batch to a scalar.

All public classes and functions of the files in this folder can be imported from ``peerdistill.terms``; there is no
list of them. PyTorch is imported when the first name is used.
"""

import pkgutil
from importlib import import_module
from typing import Any


def _public() -> dict[str, Any]:
    """Return the public classes and functions of all files in this folder, by name."""
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
