"""Tables that fit a terminal of any width without breaking numbers."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_HEADING_WIDTH = 16
_KEY_WIDTH = 18
_UNLIMITED = 100_000


@dataclass(frozen=True)
class Column:
    """A column of a :class:`WideTable`.

    Attributes:
        name: Its heading. Long ones are broken between words.
        cells: Its cells from top to bottom.
        is_number: Whether it is aligned to the right.
    """

    name: str
    cells: Sequence[str]
    is_number: bool = False

    @property
    def heading(self) -> Text:
        """Its name in lines that are hardly wider than its cells."""
        return Text(_in_lines(self.name, max([_HEADING_WIDTH, *map(len, self.cells)])))

    @property
    def narrow(self) -> "Column":
        """The column with long cells in several lines."""
        return replace(self, cells=[_in_lines(cell, _KEY_WIDTH) for cell in self.cells])


def _in_lines(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))


@dataclass(frozen=True)
class WideTable:
    """What rich prints as one table if the terminal is wide enough, and else as several, one below the other.

    Each of several has the columns that identify a row, narrow, and as many of the others as fit. Everything is printed
    literally: a name may look like markup.

    Attributes:
        title: Its title.
        keys: Columns that identify a row.
        columns: The other columns.
        caption: A sentence below the table.
    """

    title: str
    keys: Sequence[Column]
    columns: Sequence[Column]
    caption: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Text]:
        yield Text(self.title, "table.title")
        yield from self._tables(console, options)
        if self.caption is not None:
            yield Text(f"{self.caption}\n", "table.caption")

    def _tables(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        """Yield the table, or several that have as many columns as fit, at least one besides those of the keys."""
        unlimited = options.update(width=_UNLIMITED)

        def fits(table: Table) -> bool:
            return Measurement.get(console, unlimited, table).maximum <= options.max_width

        whole = _table([*self.keys, *self.columns])
        if fits(whole):
            yield whole
            return
        keys, together = [key.narrow for key in self.keys], list(self.columns[:1])
        for column in self.columns[1:]:
            if not fits(_table([*keys, *together, column])):
                yield _table([*keys, *together])
                together = []
            together.append(column)
        yield _table([*keys, *together])


def _table(columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        # Words are broken only if a single column does not fit.
        table.add_column(column.heading, justify="right" if column.is_number else "left", overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, cells))
    return table
