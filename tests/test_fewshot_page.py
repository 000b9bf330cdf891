"""docs/fewshot.md: its Python block runs, its table names every method."""

import re
from pathlib import Path

import torch

from peerdistill import methods

PAGE = (Path(__file__).parents[1] / "docs" / "fewshot.md").read_text(encoding="utf-8")


def test_the_python_block_runs():
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(block, names)
    assert list(names["loss"].parts) == ["cross_entropy", "mutual", "prototypical"]
    assert names["encoder"](torch.rand(2, 1, 28, 28)).shape == (2, 64)


def test_methods_without_a_classifier_are_named():
    (row,) = re.findall(r"^\| (.*) \| `P` and the method's term", PAGE, flags=re.MULTILINE)
    named = {"baseline", *re.findall(r"`([\w+-]+)`", row)}
    assert named == {name for name in methods.names() if not methods.find(name).uses_logits}
