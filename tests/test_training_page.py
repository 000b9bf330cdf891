"""The commands of docs/training.md run, one after the other, in a folder with stripes as photos."""

import pytest
from PIL import Image

from support.pages import blocks, run_line
from support.photos import stripes

SHORT = ("--backbone=resnet8", "--image_size=16", "--epochs=1", "--workers=0")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with ``photos/``."""
    for number in range(40):
        file = tmp_path / "photos" / ("lying", "standing")[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(stripes(number, 5 * (number % 2))).save(file)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_run_in_order(folder):
    lines = "".join(blocks("docs/training.md", "bash")).splitlines()
    assert [line.split()[1] for line in lines] == ["train", "evaluate", "export", "predict", "train"]
    for line in lines:
        first = line.startswith("peerdistill train photos")
        outcome = run_line(line, *(SHORT if first else ()))
        assert outcome.code == 0, (line, outcome.stderr)
    assert "standing" in run_line(lines[3]).stdout
    for block in blocks("docs/training.md", "python"):
        exec(block, {})
