"""The pages of the documentation: their code blocks and links, and command lines run as a shell would."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from support.command_line import Outcome, run

ROOT = Path(__file__).parents[2]


def all_pages() -> list[str]:
    """Return the pages of the documentation, such as ``docs/python.md``."""
    outside = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")
    return [*outside, *(file.relative_to(ROOT).as_posix() for file in sorted((ROOT / "docs").rglob("*.md")))]


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks in ``language`` of a page, such as ``docs/python.md``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def broken_links(page: str) -> list[str]:
    """Return the links of a page to files that do not exist."""
    file = ROOT / page
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", file.read_text(encoding="utf-8"))
    return [link for link in links if not (file.parent / link).exists()]


def expanded(words: Sequence[str]) -> list[str]:
    """Return the words of a command with file name patterns expanded as a shell does it."""
    return [name for word in words for name in sorted(map(str, Path().glob(word))) or [word]]


def run_line(line: str, *options: str) -> Outcome:
    """Run a line ``peerdistill COMMAND ...`` in this process with further options; expand file name patterns."""
    program, *words = shlex.split(line, comments=True)
    assert program == "peerdistill"
    return run(*expanded(words), *options)
