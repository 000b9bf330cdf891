"""Figures in the documentation: the markers are filled from the JSON files of the benchmarks, and are up to date."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MARKDOWN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
READ = {
    "speed": {
        "header": {"date": "2026-01-01", "threads": 2},
        "best": {"ratio": 2.345, "reached": True},
        "parts": {"steps": [{"name": "a", "ms": 1.26, "error": 1e-7}, {"name": "b", "ms": 1234.5, "error": None}]},
    }
}


@pytest.fixture
def fill_figures(benchmark):
    return benchmark("fill_figures")


@pytest.mark.parametrize("file", MARKDOWN, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_documentation_is_up_to_date(fill_figures, file):
    text = file.read_text(encoding="utf-8")
    assert fill_figures.fill(text) == text
    opened = re.findall(r"<!-- (value|header|rows):", text)
    assert len(opened) == len(fill_figures.MARKER.findall(text)), "a marker is not closed"
    # A comment at the start of a line ends a paragraph in Markdown.
    assert not re.search(r"^ *<!-- value:", text, re.MULTILINE)


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "performance").glob("*.json")), ids=lambda file: file.name)
def test_all_figures_of_a_program_are_documented(file):
    assert (ROOT / "benchmarks" / f"{file.stem}.py").is_file()
    assert any(f"<!-- header: {file.stem} -->" in docs_page.read_text(encoding="utf-8") for docs_page in MARKDOWN)


def test_a_value_is_put_between_its_comments(fill_figures):
    text = "It is <!-- value: speed {best[ratio]:.1f} times -->old<!-- /value --> as fast, <!-- another comment -->."
    expected = text.replace("old", "2.3 times")
    assert fill_figures.fill(text, READ) == expected
    assert fill_figures.fill(expected, READ) == expected


def test_the_format_of_a_truth_value_is_a_pair_of_words(fill_figures):
    text = "<!-- value: speed {best[reached]:reached|missed} --><!-- /value -->"
    assert "-->reached<!--" in fill_figures.fill(text, READ)


def test_a_header_lists_where_it_was_measured(fill_figures):
    found = fill_figures.fill("<!-- header: speed -->\nold\n<!-- /header -->", READ)
    assert found.splitlines()[1:-1] == ["```", "date:          2026-01-01", "threads:       2", "```"]


def test_rows_repeat_the_last_line_of_the_marker(fill_figures):
    marker = "<!-- rows: speed parts.steps\n| step | ms | error |\n| {name} | {ms:,.1f} | {error:.0e} |\n-->"
    found = fill_figures.fill(f"{marker}\nold\n<!-- /rows -->\nafter", READ)
    table = ["| step | ms | error |", "| --- | --- | --- |", "| a | 1.3 | 1e-07 |", "| b | 1,234.5 |  |"]
    assert found == "\n".join([marker, *table, "<!-- /rows -->", "after"])
    listed = fill_figures.fill("<!-- rows: speed parts.steps\n- {name}\n--><!-- /rows -->", READ)
    assert "\n- a\n- b\n" in listed


@pytest.mark.parametrize("marker", ["value: slow {a}", "value: speed {worst}", "rows: speed parts.none\n- {name}\n"])
def test_a_marker_without_figures_is_an_error(fill_figures, marker):
    with pytest.raises(KeyError):
        fill_figures.fill(f"<!-- {marker} --><!-- /{marker.partition(':')[0]} -->", READ)


@pytest.mark.parametrize(("words", "code", "written"), [(["--check"], 1, False), ([], 0, True)])
def test_files_are_checked_or_filled(fill_figures, tmp_path, monkeypatch, capsys, words, code, written):
    (tmp_path / "docs" / "performance").mkdir(parents=True)
    (tmp_path / "docs" / "performance" / "n.json").write_text('{"a": 7}')
    (tmp_path / "README.md").write_text("no figures")
    docs_page = tmp_path / "docs" / "page.md"
    docs_page.write_text("<!-- value: n {a} --><!-- /value -->")
    monkeypatch.setattr(fill_figures, "ROOT", tmp_path)
    monkeypatch.setattr(fill_figures, "FIGURES", tmp_path / "docs" / "performance")
    monkeypatch.setattr(sys, "argv", ["fill_figures.py", *words])
    assert fill_figures.main() == code
    assert ("-->7<!--" in docs_page.read_text()) is written
    assert str(Path("docs", "page.md")) in capsys.readouterr().out
    assert fill_figures.main() == code
