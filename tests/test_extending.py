"""The blocks of docs/extending.md run, one after the other, and each is short."""

import re
from pathlib import Path

import pytest

from peerdistill.backbones.splitting import split

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def test_the_blocks_run_in_order_and_do_what_they_say():
    names: dict = {}
    for block in BLOCKS:
        exec(block, names)
    # The term by hand: cosine similarities of all pairs of different peers.
    features = names["torch"].tensor([[[1.0, 0.0]], [[0.0, 2.0]], [[3.0, 0.0]]])
    out = names["CohortOutput"](features, features, features[0], features[0])
    assert names["Alikeness"]()(out, None, None).item() == pytest.approx(2 / 6)
    assert list(names["loss"].parts) == ["cross_entropy", "ensemble", "alike"]
    assert names["method"].epoch == 1
    stem = names["cohort"].networks[0][0]
    assert all(network[0] is stem for network in names["cohort"].networks)
    found = split("mynets:tiny", lambda: names["tiny"](10), None, (3, 32, 32))
    assert [stage.name for stage in found.stages] == ["0", "1", "2"]


def test_every_block_is_at_most_25_lines():
    assert len(BLOCKS) == 5
    assert max(len(block.splitlines()) for block in BLOCKS) <= 30
    for block in BLOCKS:
        code = [line for line in block.splitlines() if line.strip() and not line.startswith(("import", "from"))]
        assert len(code) <= 25
