"""All output on stdout: text for people, JSON for programs."""

import errno
import json
import os
import sys
from collections.abc import Iterable
from typing import Any, NoReturn, TextIO

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.measure import Measurement
from rich.segment import Segment

from peerdistill.errors import printable
from peerdistill.processes import is_first_process

_COLUMNS_OF_A_PIPE = 160


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints names of files, classes and runs literally.

    Markup, numbers and emoji codes in them are not interpreted, and control characters are escaped. Of several
    processes that train together, only the first one prints.

    Args:
        stderr: Whether to print to stderr instead of stdout.
    """
    how: dict[str, Any] = {"stderr": stderr, "markup": False, "highlight": False, "emoji": False}
    console = _Console(**how, quiet=not is_first_process(), width=_width(sys.stderr if stderr else sys.stdout))
    console.push_render_hook(_EscapeControlCharacters())
    return console


def _width(stream: TextIO) -> int | None:
    """Return the columns of a stream that is no terminal, such as a pipe; None: rich asks the terminal."""
    return None if stream.isatty() or "COLUMNS" in os.environ else _COLUMNS_OF_A_PIPE


def print_json(value: Any) -> None:
    """Print a value as indented JSON on stdout, in ASCII."""
    if is_first_process():
        sys.stdout.write(json.dumps(value, indent=2) + "\n")


def in_bytes(size: int) -> str:
    """Return a size in MiB or GiB.

    Example:
        >>> in_bytes(3 * 2**20), in_bytes(5 * 2**29)
        ('3.00 MiB', '2.50 GiB')
    """
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.2f} MiB"


class _Console(Console):
    """A console that reports a closed reader of its output as ``print`` does; Rich would exit with code 1."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise BrokenPipeError again; Rich calls this method while it handles one."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


class _EscapeControlCharacters(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Escaped(renderable) for renderable in renderables]


class _Escaped:
    """A renderable with its control characters escaped."""

    def __init__(self, renderable: RenderableType):
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        yield from _escaped(console.render(self._renderable, options))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._renderable)


def _escaped(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        if segment.control:
            yield segment
        else:
            lines = segment.text.split("\n")
            yield Segment("\n".join(printable(line) for line in lines), segment.style)
