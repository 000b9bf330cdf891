"""The plain formulation of the benchmark is a formulation of the same loss, and the page says what was measured."""

from importlib import import_module
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a file of the folder, in which they find each other as they do when they are run."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module


def test_formulations_agree(benchmark, monkeypatch):
    contrast = benchmark("contrast")
    monkeypatch.setattr(contrast, "AGREEMENT_SIZES", {"batch": 4, "negatives": 300, "samples": 900, "peers": 3})
    rows = contrast.agreement()
    assert {(row["objective"], row["kind"], row["dtype"]) for row in rows} == {
        (objective, kind, dtype)
        for objective in ("nce", "softmax")
        for kind in ("own", "shared", "all", "queue")
        for dtype in ("float32", "float64")
    }
    for row in rows:
        tolerance = {"float32": 1e-5, "float64": 1e-10}[row["dtype"]]
        assert max(row["loss"], row["gradient"], 1 - row["cosine"]) < tolerance


def test_growth_is_fitted_to_the_largest_sizes(benchmark):
    exponent = benchmark("contrast_growth").exponent
    assert exponent([1, 10, 20, 40, 80], [1e9, 3, 6, 12, 24]) == pytest.approx(1)
    assert exponent([10, 20, 40, 80], [5, 5, 5, 5]) == pytest.approx(0)


def test_page_says_what_was_measured(benchmark):
    report = benchmark("contrast_report")
    page = report.PAGE.read_text()
    assert report.section().strip() in page


def test_section_is_put_in_the_place_of_the_one_before(benchmark, monkeypatch, tmp_path):
    report = benchmark("contrast_report")
    monkeypatch.setattr(report, "PAGE", tmp_path / "performance.md")
    report.write_section()
    assert report.PAGE.read_text() == f"# Performance\n\n{report.section()}"
    before, after = "# Performance\n\n## Before\n\none\n\n", "\n## After\n\ntwo\n"
    report.PAGE.write_text(f"{before}{report.TITLE}\n\nold\n\n### part\n{after}")
    report.write_section()
    assert report.PAGE.read_text() == f"{before}{report.section()}{after}"
