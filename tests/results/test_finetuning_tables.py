"""The tables of the fine-tuning study; intervals are those of scipy's paired t-test."""

from importlib import import_module

import numpy as np
import pytest
from scipy import stats


@pytest.fixture
def tables(monkeypatch, tmp_path):
    module = import_module("finetuning.tables")
    monkeypatch.setattr(module, "PAGE", tmp_path / "page.md")
    return module


def records(leaders: dict[str, list[float]]) -> dict[str, dict]:
    """Return a record for every accuracy of every arm, by name."""
    found = {}
    for arm, values in leaders.items():
        for seed, value in enumerate(values):
            record = {"data": "toy", "arm": arm, "seed": seed, "epochs": 8, "cpu_seconds": 60.0, "test_images": 40}
            record["leader"] = {"top1": value, "balanced_accuracy": value / 100}
            if arm == "mcl-okd":
                others = {"top1": value + 1}
                record |= {"ensemble": others, "average": others, "peers": [{"top1": value}, others]}
            found[f"{arm}-{seed}"] = record
    return found


def test_a_difference_is_paired_by_seed(tables):
    ours, longer = [81.0, 76.5, 79.0, 83.0], [80.0, 74.0, 77.5, 80.0]
    tables.write_tables(records({"single": [70.0] * 4, "single, longer": longer, "mcl-okd": ours}))
    text = tables.PAGE.read_text()
    low, high = stats.ttest_rel(ours, longer).confidence_interval(0.95)
    assert (
        f"is {np.mean(ours) - np.mean(longer):+.2f} ± {(high - low) / 2:.2f} points (4 seeds): more accurate." in text
    )
    assert f"{np.mean(longer) - 70 + np.mean(ours) - np.mean(longer):+.2f}" in text


def test_an_interval_that_contains_zero_is_no_difference(tables):
    tables.write_tables(records({"single, longer": [80.0, 80.0, 80.0], "mcl-okd": [79.0, 80.5, 81.0]}))
    assert "(3 seeds): cannot be told apart." in tables.PAGE.read_text()


def test_two_seeds_are_too_few_for_a_verdict(tables):
    tables.write_tables(records({"single, longer": [80.0, 80.0], "mcl-okd": [90.0, 90.0]}))
    assert "2 seeds are too few" in tables.PAGE.read_text()


def test_the_text_around_the_tables_stays(tables):
    tables.PAGE.write_text(f"before\n{tables.OPENING}\nold\n{tables.CLOSING}\nafter\n")
    tables.write_tables(records({"single": [70.0]}))
    text = tables.PAGE.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
