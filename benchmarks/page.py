"""docs/performance.md: what the benchmarks say there, out of the figures that they wrote beside it."""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measuring import header_lines

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "performance.md"
FIGURES = DOCS / "performance"


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the options of all benchmarks."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--repeats", type=int, default=5, help="timed repeats")
    options.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options.add_argument("--write", action="store_true", help="write them to docs/performance, and the text about them")
    return options


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def header_text(report: dict) -> str:
    return f"```\n{header_lines(report['header'])}\n```"


def section_text(introduction: str, report: dict, *parts: str) -> str:
    """A section that one benchmark writes alone: what it is about, on which machine, and what was found."""
    return "\n\n".join([introduction.strip(), header_text(report), *parts])


def figures(name: str) -> dict | None:
    """What the benchmark of that name measured last, None where it was not run yet."""
    file = FIGURES / f"{name}.json"
    return json.loads(file.read_text()) if file.is_file() else None


def put_section(title: str, text: str) -> None:
    """Put a section into the page, in the place of the one before that has its title."""
    heading = f"## {title}\n"
    page = PAGE.read_text() if PAGE.is_file() else "# Performance\n"
    before, found, rest = page.partition(heading)
    if not found:
        before = f"{page.rstrip()}\n\n"
    _, following, after = rest.partition("\n## ")
    PAGE.write_text(f"{before}{heading}\n{text}\n{following}{after}")


def give(report: dict, name: str, text: str, *, json_file: Path | None, write: Callable[[], None] | None) -> None:
    """Print ``text``; keep the figures in ``json_file``, and with ``write`` beside the page, which is then written."""
    print(text)
    files = [json_file] if json_file else []
    for file in [*files, FIGURES / f"{name}.json"] if write else files:
        file.write_text(json.dumps(report, indent=2) + "\n")
    if write:
        write()


def give_section(title: str, text: str, report: dict, name: str, options: argparse.Namespace) -> None:
    """Give a report whose text is a section of the page, by the options of :func:`parser`."""
    write = partial(put_section, title, text) if options.write else None
    give(report, name, text, json_file=options.json, write=write)
