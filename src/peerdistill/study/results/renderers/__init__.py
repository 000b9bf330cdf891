"""What tables are written as: one file each, with ``SUFFIX`` and ``render``; and ``terminal``."""

import pkgutil
from importlib import import_module
from typing import Any

from peerdistill.errors import UserError
from peerdistill.study.results.table import Table


def suffixes() -> tuple[str, ...]:
    """Return the suffixes of files that a table can be written as.

    Example:
        >>> suffixes()
        ('.csv', '.json', '.md')
    """
    return tuple(sorted(_renderers()))


def rendered(table: Table, suffix: str) -> str:
    """Return a table as the text of a file.

    Raises:
        UserError: There is no renderer for the suffix.

    Example:
        >>> rendered(Table("Nothing", ()), ".md")
        '# Nothing\\n'
    """
    found = _renderers()
    if suffix not in found:
        raise UserError(f"a table cannot be written as '{suffix}': choose from {', '.join(sorted(found))}")
    return found[suffix].render(table)


def _renderers() -> dict[str, Any]:
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {module.SUFFIX: module for module in modules if hasattr(module, "SUFFIX")}
