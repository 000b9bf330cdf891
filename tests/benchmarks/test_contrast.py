"""The plain formulation of the benchmark is a formulation of the same loss."""

import pytest


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
