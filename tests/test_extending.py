"""The blocks of docs/extending.md run, one after the other, and each is short."""

import re
import sys
from pathlib import Path

import pytest

from peerdistill import methods
from peerdistill.backbones.adapters.splitting import split
from peerdistill.cli import main
from peerdistill.data import DataConfig
from peerdistill.methods import catalog
from peerdistill.terms import Batch

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_blocks_run_in_order_and_do_what_they_say():
    names: dict = {}
    for block in BLOCKS:
        exec(block, names)
    # The term by hand: cosine similarities of all pairs of different peers.
    features = names["torch"].tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 0.0]]])
    out = names["CohortOutput"](features, features, features[0], features[0])
    labels = names["torch"].zeros(1, dtype=int)
    assert names["Alikeness"]()(out, Batch(labels, labels)).item() == pytest.approx(2 / 6)
    assert names["CARD"].build is names["apart"]
    assert list(names["loss"].parts) == ["cross_entropy", "ensemble", "alike"]
    assert names["method"].epoch == 1
    stem = names["cohort"].networks[0][0]
    assert all(network[0] is stem for network in names["cohort"].networks)
    data = names["SOURCE"].load(names["LoadRequest"](DataConfig("squares")))
    assert (data.name, data.class_names, data.image_size) == ("squares", ("top", "upper", "lower", "bottom"), 16)
    found = split("mynets:tiny", lambda: names["tiny"](10), None, (3, 32, 32))
    assert [stage.name for stage in found.stages] == ["0", "1", "2"]


def test_the_method_of_the_page_is_one_file_outside_the_package(tmp_path, monkeypatch, capsys):
    term, method, _, card = BLOCKS[:4]
    (tmp_path / "mymethods.py").write_text(term + method + card)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mymethods", raising=False)
    assert methods.find("mymethods:apart").sharings == ("network", "branch")
    assert main(["methods", "mymethods:apart"]) == 0
    assert "--alike 0.1" in capsys.readouterr().out
    assert main(["train", "digits", "--method", "mymethods:apart", "--help"]) == 0
    assert "Weight of the peers' alikeness." in capsys.readouterr().out
    del sys.modules["mymethods"]


def test_the_method_of_the_page_is_one_file_in_the_package(tmp_path, monkeypatch):
    term, method, _, card = BLOCKS[:4]
    (tmp_path / "apart.py").write_text(term + method + card)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    assert set(catalog.discover()) == {*methods.names(), "apart"}
    del sys.modules["peerdistill.methods.apart"], methods.apart


def test_every_block_is_at_most_25_lines():
    assert len(BLOCKS) == 8
    assert max(len(block.splitlines()) for block in BLOCKS) <= 30
    for block in BLOCKS:
        code = [line for line in block.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert len(code) <= 25
