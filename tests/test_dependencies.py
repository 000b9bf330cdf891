"""The lowest versions and the page about dependencies match pyproject.toml."""

import re
import tomllib

from support.pages import ROOT


def lowest() -> dict[str, str]:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    found = [re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", requirement) for requirement in requirements]
    return {match[1]: match[2] for match in found}


def test_the_lowest_versions_are_those_that_are_allowed():
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    assert dict(line.split("==") for line in lines if not line.startswith("#")) == lowest()


def test_the_page_has_a_row_for_every_dependency():
    text = (ROOT / "docs/dependencies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z][\w-]*) \|", text, flags=re.MULTILINE)
    assert set(rows) - {"dependency", "call"} == lowest().keys() - {"torch", "numpy"}
