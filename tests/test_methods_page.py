"""docs/methods.md names every method."""

import re

from peerdistill import methods
from support.pages import ROOT


def test_the_table_names_every_method():
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    named = re.findall(r"`([a-z+-]+)`", " ".join(cells))
    assert sorted(set(named) - {"--method"}) == sorted(methods.names())
