"""The commands of README.md run, and its links lead to files."""

import re

import pytest

from support.pages import ROOT, all_pages, blocks, broken_links, run_line
from support.photos import write_photos

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_command_for_own_images_runs(tmp_path, monkeypatch):
    write_photos(tmp_path / "photos", 60)
    monkeypatch.chdir(tmp_path)
    (line,) = "".join(blocks("README.md", "bash")).splitlines()
    outcome = run_line(line, "--backbone=resnet8", "--image_size=16", "--epochs=1", "--workers=0")
    assert outcome.code == 0, outcome.stderr
    assert (tmp_path / "runs/photos/result.json").is_file()


def test_the_make_targets_exist():
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    used = re.findall(r"make (\w+)  ", README)
    assert used == ["demo", "test"]
    assert set(used) <= set(targets)


@pytest.mark.parametrize("page", all_pages())
def test_links_lead_to_files(page):
    assert broken_links(page) == []
