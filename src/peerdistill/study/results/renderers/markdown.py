"""Tables as Markdown."""

from collections.abc import Iterator

from peerdistill.markdown import as_markdown
from peerdistill.study.results.table import KEYS, Table, is_text
from peerdistill.study.results.values import text

SUFFIX = ".md"


def render(table: Table) -> str:
    """Return a table as Markdown: a title, one table per part, then verdicts, notes and reasons as lists."""
    return "\n".join(_lines(table)) + "\n"


def _lines(table: Table) -> Iterator[str]:
    yield f"# {as_markdown(table.title)}"
    for part in table.parts:
        yield from ("", f"## {part}", "", *_part(table, part))
    for heading, sentences in (("Verdicts", table.verdicts), ("Notes", table.notes), ("Missing", table.reasons)):
        if sentences:
            yield from ("", f"## {heading}", "", *(f"- {as_markdown(sentence)}" for sentence in sentences))


def _part(table: Table, part: str) -> Iterator[str]:
    keys, columns = table.columns(KEYS), table.columns(part)
    numbers = [not any(is_text(row[part].get(name)) for row in table.rows) for name in columns]
    yield _row([*keys, *columns])
    yield _row([*["---"] * len(keys), *("--:" if number else "---" for number in numbers)], escape=False)
    for row in table.rows:
        yield _row([text(value) for value in (*row[KEYS].values(), *row[part].values())])


def _row(cells: list[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(as_markdown(cell) if escape else cell for cell in cells)} |"
