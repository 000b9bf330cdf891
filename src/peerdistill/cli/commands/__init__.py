"""One file per command: ``peerdistill export`` exits with the result of ``run(words)`` in ``export.py``.

Nothing lists the files. A file begins with a docstring, whose first line is the command's line in ``peerdistill
--help``; ``HELP_ORDER`` is its position there (default: last). Both are read as text, because importing every command
would make the help slow. So would ``pkgutil`` and ``pathlib``.
"""

import os
import re
from collections.abc import Callable, Iterator
from importlib import import_module

_SUMMARY = re.compile(r'"""(.+?)\.?(?:"""|$)', re.MULTILINE)
_HELP_ORDER = re.compile(r"^HELP_ORDER = (\d+)$", re.MULTILINE)
_LAST = 1_000


def help_lines() -> dict[str, str]:
    """Return the commands and their lines of help, in the order of the help."""
    found = []
    for module, source in _sources():
        summary, order = _SUMMARY.match(source), _HELP_ORDER.search(source)
        found.append((int(order[1]) if order else _LAST, module.replace("_", "-"), summary[1] if summary else ""))
    return {name: summary for _, name, summary in sorted(found)}


def find(name: str) -> Callable[[list[str]], int]:
    """Return the function that runs a command, given the words after its name."""
    return import_module(f"{__name__}.{name.replace('-', '_')}").run


def _sources() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every module in this package."""
    for folder in __path__:
        for file in os.scandir(folder):
            if file.name.endswith(".py") and not file.name.startswith("_"):
                with open(file.path, encoding="utf-8") as opened:  # noqa: PTH123
                    yield file.name.removesuffix(".py"), opened.read()
