"""A console that prints nothing."""

import io

from rich.console import Console


def silent_console(width: int = 200) -> Console:
    """Return a console that keeps its output; :func:`printed` returns it."""
    return Console(file=io.StringIO(), width=width)


def printed(console: Console) -> str:
    """Return what was printed to a :func:`silent_console`."""
    return console.file.getvalue()
