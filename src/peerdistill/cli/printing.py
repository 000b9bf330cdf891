"""The one way out: what is printed for people, and results for programs."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook
from rich.measure import Measurement
from rich.segment import Segment

from peerdistill.errors import printable


def console(*, stderr: bool = False) -> Console:
    """Return a console for text that holds names from outside.

    Nothing in them is taken for markup, a number to be coloured or an emoji, and nothing in them reaches the terminal
    as a control character.
    """
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    made.push_render_hook(_OnlyPrintable())
    return made


def print_json(value: Any) -> None:
    """Print a value as indented JSON on stdout, in ASCII."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


class _OnlyPrintable(RenderHook):
    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Printable(renderable) for renderable in renderables]


class _Printable:
    """Something to print, with its control characters as escapes."""

    def __init__(self, renderable: RenderableType):
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        yield from _only_printable(console.render(self._renderable, options))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._renderable)


def _only_printable(segments: Iterable[Segment]) -> Iterable[Segment]:
    for segment in segments:
        if segment.control:
            yield segment
        else:
            lines = segment.text.split("\n")
            yield Segment("\n".join(printable(line) for line in lines), segment.style)
