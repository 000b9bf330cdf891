"""docs/performance.md says what was measured."""

import pytest


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("contrast_report", "section"),
        ("step_report", "section"),
        ("data_report", "section"),
        ("methods", "text_of"),
        ("episodes", "text_of"),
        ("relations", "text_of"),
        ("allocator", "text_of"),
    ],
)
def test_page_says_what_was_measured(benchmark, module, text):
    page = benchmark("page")
    write = getattr(benchmark(module), text)
    said = write() if text == "section" else write(page.figures(module))
    assert said.strip() in page.PAGE.read_text()


def test_section_is_put_in_the_place_of_the_one_before(benchmark, monkeypatch, tmp_path):
    page = benchmark("page")
    monkeypatch.setattr(page, "PAGE", tmp_path / "performance.md")
    page.put_section("Speed", "fast")
    assert page.PAGE.read_text() == "# Performance\n\n## Speed\n\nfast\n"
    before, after = "# Performance\n\n## Before\n\none\n\n", "\n## After\n\ntwo\n"
    page.PAGE.write_text(f"{before}## Speed\n\nold\n\n### part\n{after}")
    page.put_section("Speed", "### now\n\nfast")
    assert page.PAGE.read_text() == f"{before}## Speed\n\n### now\n\nfast\n{after}"


def test_figures_that_were_not_measured_are_none(benchmark, monkeypatch, tmp_path):
    page = benchmark("page")
    monkeypatch.setattr(page, "FIGURES", tmp_path)
    assert page.figures("step") is None
