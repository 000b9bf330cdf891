"""The page of deployment says what was measured."""

import json
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_page_says_what_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    leader, measuring = import_module("leader"), import_module("measuring")
    report = json.loads((ROOT / "docs" / "performance" / "leader.json").read_text())
    page = (ROOT / "docs" / "deployment.md").read_text()
    assert measuring.header_lines(report["header"]) in page
    assert leader.table(report["networks"]) in page
