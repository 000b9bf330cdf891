"""Fill the figures of the benchmarks into the Markdown files of the documentation.

    python benchmarks/fill_figures.py [--check]

The figures are the JSON files in docs/performance. A marker is an HTML comment that says which figures follow it; what
follows, up to the closing comment, is replaced. Braces are fields of Python's ``str.format``. There are three kinds:

    <!-- value: data {arrays[ratio]:.1f} -->20.1<!-- /value -->

    <!-- header: data -->
    ...
    <!-- /header -->

    <!-- rows: methods steps
    | method | seconds |
    | {method} | {seconds:.3f} |
    -->
    ...
    <!-- /rows -->

``header`` lists the machine and the method of a benchmark. ``rows`` repeats the last line of the marker for each item
of a list. Null becomes empty, and the format of a truth value is a pair of words, such as ``{reached:reached|missed}``.
"""

import argparse
import json
import re
import string
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "performance"

MARKER = re.compile(
    r"<!-- (?P<kind>value|header|rows): (?P<name>\w+)(?P<what>(?:(?!-->).)*?)\s*-->"
    r"(?P<filled>.*?)<!-- /(?P=kind) -->",
    re.DOTALL,
)


class Figures(string.Formatter):
    """``str.format`` for figures from JSON."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            yes, no = format_spec.split("|")
            return yes if value else no
        return format(value, format_spec)


def fill(text: str, read: Mapping[str, Any] | None = None) -> str:
    """Return Markdown with its figures filled in.

    Args:
        text: The Markdown.
        read: Figures by name; by default, those in docs/performance.

    Raises:
        KeyError: If a marker names figures that do not exist.
    """

    def filled(found: re.Match[str]) -> str:
        report = measured(found["name"]) if read is None else read[found["name"]]
        opening = found[0][: found.start("filled") - found.start()]
        closing = f"<!-- /{found['kind']} -->"
        made = KINDS[found["kind"]](report, found["what"].strip())
        return f"{opening}{made}{closing}" if found["kind"] == "value" else f"{opening}\n{made}\n{closing}"

    return MARKER.sub(filled, text)


@cache
def measured(name: str) -> Any:
    """Return the figures of a benchmark."""
    file = FIGURES / f"{name}.json"
    if not file.is_file():
        raise KeyError(f"there are no figures {file}")
    return json.loads(file.read_text())


def value(report: Any, form: str) -> str:
    """Return one figure, or a text with several."""
    return Figures().vformat(form, (), report)


def header(report: Any, _: str) -> str:
    """Return where and how the figures were measured."""
    return "\n".join(["```", *(f"{name + ':':14} {text}" for name, text in report["header"].items()), "```"])


def rows(report: Any, what: str) -> str:
    """Return a line for each item of a list, under the head of a table if the marker has one."""
    path, *head, form = what.splitlines()
    items = report
    for name in path.strip().split("."):
        items = items[name]
    lines = [value(item, form) for item in items]
    return "\n".join([*(_table_head(head[0]) if head else []), *lines])


def _table_head(head: str) -> list[str]:
    return [head, "| " + " | ".join(["---"] * (head.count("|") - 1)) + " |"]


KINDS = {"value": value, "header": header, "rows": rows}


def main() -> int:
    options = argparse.ArgumentParser(description="Fill the figures of the benchmarks into the documentation.")
    options.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a file is out of date")
    check = options.parse_args().check
    outdated = []
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        before = file.read_text(encoding="utf-8")
        after = fill(before)
        if after != before:
            outdated.append(file)
            if not check:
                file.write_text(after, encoding="utf-8")
    for file in outdated:
        print(f"{file.relative_to(ROOT)} {'is out of date' if check else 'was filled'}")
    return int(check and bool(outdated))


if __name__ == "__main__":
    sys.exit(main())
