"""Every command and every piece of Python code on every page runs, in the order of the page.

Training is shortened and downloads have stand-ins: see support/page_world.py. Pages whose code is compared with
something have a test of their own for it.
"""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from support.page_world import commands, run_command, shortened, write_code, write_world
from support.pages import ROOT, all_pages, blocks

PYTHON_ELSEWHERE = {
    "docs/analysis.md": "study/analyses/test_page.py",
    "docs/cost.md": "test_cost_page.py",
    "docs/deployment.md": "test_deployment_page.py",
    "docs/extending.md": "test_extending.py",
    "docs/fewshot.md": "test_fewshot_page.py",
    "docs/python.md": "test_python_page.py",
    "docs/studies.md": "test_studies_page.py",
}
"""Tests of the Python blocks of these pages."""

LANGUAGES = {"", "bash", "console", "math", "python", "text", "yaml"}
WITH_COMMANDS = [page for page in all_pages() if commands(page)]
WITH_PYTHON = [page for page in all_pages() if blocks(page, "python")]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    return folder


@pytest.fixture
def world(files, tmp_path, monkeypatch) -> Path:
    """The working folder."""
    folder = tmp_path / "world"
    shutil.copytree(files, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return folder


@pytest.mark.parametrize("page", sorted({*WITH_COMMANDS, *WITH_PYTHON} - {"CONTRIBUTING.md"}))
def test_what_a_page_says_runs_in_order(page, world):
    write_code(page, world)
    for line in commands(page):
        outcome = run_command(line)
        assert outcome is None or outcome.code == 0, (line, outcome.stderr)
    if page not in PYTHON_ELSEWHERE:
        names: dict = {}
        for block in blocks(page, "python"):
            exec(block, names)


def test_python_blocks_elsewhere_are_tested_there():
    assert set(PYTHON_ELSEWHERE) <= set(WITH_PYTHON)
    for page, file in PYTHON_ELSEWHERE.items():
        assert Path(page).name in (ROOT / "tests" / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", all_pages())
def test_every_block_has_a_known_language(page):
    """Other languages would not be run."""
    fences = re.findall(r"^ *```(.*)$", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(fences[::2]) <= LANGUAGES
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "train digits --run a",
            "train digits --run a --epochs=1 --workers=0 --backbone=resnet8 --subset.per_class=8",
        ),
        ("train --resume --run runs/a", "train --resume --run runs/a"),
        ("evaluate runs/a", "evaluate runs/a"),
    ],
)
def test_only_training_is_shortened(line, expected):
    assert shlex.join(shortened(shlex.split(line))) == expected
