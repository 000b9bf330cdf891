"""docs/studies.md: its files are studies, its code runs, its tables name every study, key and scale."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from peerdistill.study.plan import load_study, scale_names, study_names
from peerdistill.study.plan.study_file import StudyFile
from support.pages import ROOT, blocks, broken_links

PAGE = "docs/studies.md"
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")
FILES = {re.findall(r"^# (\S+)$", block, flags=re.MULTILINE)[0]: block for block in blocks(PAGE, "yaml")}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with the files of the page and ``photos/``."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_sweep_has_five_lines_and_a_baseline(folder):
    lines = [line for line in FILES["beta.yaml"].splitlines() if not line.startswith("#")]
    assert len(lines) == 5
    study = load_study("beta.yaml")
    assert len([cell for cell in study.cells if cell.role == "method"]) == 3 * 5


def test_the_second_file_is_a_product_with_teachers(folder):
    study = load_study("compared.yaml", seeds=1)
    assert len([cell for cell in study.cells if cell.role == "method"]) == 2 * 2 * 2
    teachers = [cell for cell in study.cells if cell.role == "teacher"]
    assert [(cell.dataset, cell.epochs) for cell in teachers] == [("digits", 60), ("photos", 60)]


def test_the_scale_of_the_third_file_is_stated(folder):
    study = load_study("scaled.yaml", scale="tiny")
    assert study.scale.statement("digits") == (
        "tiny: 2 of 20 and 4 of 40 epochs, 20 of 115 training images a class, backbone resnet8 instead of resnet20"
    )
    assert study.seeds == (0,)


def test_the_stated_reduction_of_the_page_is_that_of_a_study():
    (statement,) = blocks(PAGE, "text")
    study = load_study("table2", scale="cpu", only={"network": ["ResNet-32"], "method": ["OKDDip"]})
    assert statement.strip() == study.scale.statement("CIFAR-100")


def test_the_code_runs():
    for block in blocks(PAGE, "python"):
        exec(block, {})


def test_every_study_key_and_scale_is_named():
    def named(head: str) -> list[str]:
        table = TEXT.partition(f"| {head} |")[2].partition("\n\n")[0]
        return [
            name for cell in re.findall(r"^\| (`.*?) \|", table, flags=re.M) for name in re.findall("`(.*?)`", cell)
        ]

    assert sorted(named("study")) == study_names()
    assert sorted(named("key")) == sorted(field.name for field in fields(StudyFile))
    scales = TEXT.partition("`--scale` names")[2].partition("```")[0]
    assert set(re.findall("`(.*?)`", scales)) == set(scale_names())


def test_links_and_commands():
    assert not broken_links(PAGE)
    commands = re.findall(r"^\$ peerdistill reproduce (\S+)", TEXT, flags=re.MULTILINE)
    assert len(commands) == 4
    assert set(commands) <= {*study_names(), *FILES}
