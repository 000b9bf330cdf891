"""The make targets of README.md exist, and the links of every page lead to files."""

import re

import pytest

from support.pages import ROOT, all_pages, broken_links

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_make_targets_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    used = re.findall(r"make (\w+)  ", README)
    assert used == ["demo", "test"]
    assert set(used) <= set(targets)


@pytest.mark.parametrize("page", all_pages())
def test_links_lead_to_files(page):
    assert broken_links(page) == []
