"""Tables as Markdown."""

import re
from collections.abc import Iterator

from peerdistill.study.results.table import KEYS, Table, is_text
from peerdistill.study.results.values import text

SUFFIX = ".md"

# What Markdown or HTML would interpret in a label.
_SPECIAL = re.compile(r"([\\`*_\[\]<>|&])")


def render(table: Table) -> str:
    """Return a table as Markdown: a title, one table per part, then verdicts, notes and reasons as lists."""
    return "\n".join(_lines(table)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    yield f"# {_escaped(table.title)}"
    for part in table.parts:
        yield from ("", f"## {part}", "", *_part(table, part))
    for heading, sentences in (("Verdicts", table.verdicts), ("Notes", table.notes), ("Missing", table.reasons)):
        if sentences:
            yield from ("", f"## {heading}", "", *(f"- {_escaped(sentence)}" for sentence in sentences))


def _part(table: Table, part: str) -> Iterator[str]:
    keys, columns = table.columns(KEYS), table.columns(part)
    numbers = [not any(is_text(row[part].get(name)) for row in table.rows) for name in columns]
    yield _row([*keys, *columns])
    yield _row([*["---"] * len(keys), *("--:" if number else "---" for number in numbers)], escape=False)
    for row in table.rows:
        yield _row([text(value) for value in (*row[KEYS].values(), *row[part].values())])


def _row(cells: list[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(_escaped(cell) if escape else cell for cell in cells)} |"


def _escaped(words: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(words.split()))
