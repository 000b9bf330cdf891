"""docs/analysis.md names every analysis and every figure, and its Python block runs."""

import re

import pytest

from peerdistill.study.analyses import analyse, discover
from support.pages import ROOT, blocks

PAGE = (ROOT / "docs/analysis.md").read_text(encoding="utf-8")


def test_every_analysis_is_a_section_with_its_figures(peers):
    assert set(re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)) == set(discover())
    tables = {name: re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE) for name, section in sections().items()}
    for name in ("similarity", "diversity", "calibration"):
        found = analyse(peers.run, [name])[name]["figures"]
        assert list(found) == [row for row in tables[name] if row not in ("figure", "---")]


def sections() -> dict[str, str]:
    _, *parts = re.split(r"^## (\w+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_block_runs(peers, capsys, monkeypatch):
    monkeypatch.chdir(peers.run.path.parent)
    (block,) = blocks("docs/analysis.md", "python")
    exec(block.replace("runs/photos", "peers"), {})
    found = analyse(peers.run, ["similarity"])["similarity"]["figures"]["intra-class similarity"]
    assert float(capsys.readouterr().out) == pytest.approx(found, rel=1e-6)
