"""Intervals against scipy and by simulation: an interval that covers too seldom would support false claims."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from peerdistill.study.results.intervals import (
    BOOTSTRAP,
    CROSSED,
    LEAST_FOR_BOOTSTRAP,
    STUDENT,
    bootstrap,
    crossed_interval,
    improvement,
    paired_interval,
)

DIFFERENCES = st.lists(st.floats(-20, 20), min_size=3, max_size=12).filter(lambda found: np.std(found) > 1e-3)


def coverage(interval, draw, repeats: int) -> float:
    """The share of drawn samples whose interval contains the true mean, 0."""
    found = [interval(draw()) for _ in range(repeats)]
    return float(np.mean([low <= 0 <= high for low, high in found]))


def ends(found):
    return found.low, found.high


@given(values=DIFFERENCES)
def test_few_pairs_have_the_interval_of_the_paired_t_test(values):
    base = np.linspace(60, 70, len(values))
    expected = stats.ttest_rel(base + values, base).confidence_interval(0.95)
    found = paired_interval(np.array(values))
    assert found.method == STUDENT
    assert ends(found) == (pytest.approx(expected.low, abs=1e-6), pytest.approx(expected.high, abs=1e-6))


def test_many_pairs_have_the_bootstrap_interval_of_scipy():
    values = np.random.default_rng(1).exponential(size=LEAST_FOR_BOOTSTRAP) - 1
    expected = stats.bootstrap((values,), np.mean, n_resamples=9_999, rng=np.random.default_rng(0))
    found = paired_interval(values)
    assert found.method == BOOTSTRAP
    assert ends(found) == (expected.confidence_interval.low, expected.confidence_interval.high)
    assert ends(paired_interval(values)) == ends(found)  # the same in every call


@pytest.mark.parametrize("values", [[-100, 0, 0, 0, 100, 100], range(-30, 60)], ids=["images", "episodes"])
def test_thousands_of_pairs_have_the_percentile_interval_of_scipy(values):
    rng = np.random.default_rng(2)
    differences = rng.choice(values, 2500).astype(float)
    how = {"n_resamples": 9_999, "method": "percentile", "batch": 1000}
    expected = stats.bootstrap((differences,), np.mean, rng=rng, **how).confidence_interval
    width = expected.high - expected.low
    assert ends(paired_interval(differences)) == (
        pytest.approx(expected.low, abs=0.04 * width),
        pytest.approx(expected.high, abs=0.04 * width),
    )


@pytest.mark.parametrize("pairs", [3, 6])
def test_the_interval_of_few_seeds_covers_the_truth_as_often_as_it_says(pairs):
    rng = np.random.default_rng(pairs)
    found = coverage(lambda x: ends(paired_interval(x)), lambda: rng.normal(size=pairs), 2000)
    assert found == pytest.approx(0.95, abs=0.02)


def test_a_bootstrap_over_three_seeds_would_be_too_narrow():
    """The reason for Student's t: 95 % intervals that contain the truth in three of four cases."""
    rng = np.random.default_rng(0)
    assert coverage(bootstrap, lambda: rng.normal(size=3), 100) < 0.85


@pytest.mark.parametrize(("of_seed", "of_sample"), [(0.3, 3.0), (1.0, 0.0), (0.3, 10.0)])
def test_the_crossed_interval_covers_the_truth_over_seeds_and_episodes(of_seed, of_sample):
    rng = np.random.default_rng(0)
    seeds, samples = 4, 200

    def draw():
        shared = of_sample * rng.normal(size=(1, samples))
        return of_seed * rng.normal(size=(seeds, 1)) + shared + 6 * rng.normal(size=(seeds, samples))

    assert coverage(lambda x: ends(crossed_interval(x)), draw, 1000) > 0.92
    if of_sample == 10:  # the choice of episodes dominates, and seeds alone do not show it
        assert coverage(lambda x: ends(paired_interval(x.mean(1))), draw, 1000) < 0.85


def test_the_crossed_interval_has_the_variance_of_the_analysis_of_variance():
    """The textbook formula in terms of estimated components, computed another way."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(3, 1)) + rng.normal(size=(1, 5)) + 0.1 * rng.normal(size=(3, 5))
    interval = crossed_interval(found)
    rest = np.var(found - found.mean(0) - found.mean(1, keepdims=True) + found.mean()) * 15 / 8
    seeds = np.var(found.mean(1), ddof=1) - rest / 5
    samples = np.var(found.mean(0), ddof=1) - rest / 3
    variance = seeds / 3 + samples / 5 + rest / 15
    parts = {2: seeds / 3 + rest / 15, 4: samples / 5 + rest / 15, 8: rest / 15}
    freedom = variance**2 / sum(part**2 / degrees for degrees, part in parts.items())
    half = stats.t.ppf(0.975, freedom) * math.sqrt(variance)
    assert interval.method == CROSSED
    assert ends(interval) == (pytest.approx(found.mean() - half), pytest.approx(found.mean() + half))


@pytest.mark.parametrize("interval", [paired_interval, lambda x: crossed_interval(np.tile(x, (4, 1)).T)])
def test_equal_differences_have_no_interval(interval):
    found = interval(np.full(3, 1.5))
    assert (found.mean, found.known, found.sign) == (1.5, False, 0)


def test_the_probability_of_improvement_counts_ties_half():
    found = improvement(np.array([0.5, 0.1, -0.2, 0.0, 0.0, 1.0]))
    assert (found.wins, found.pairs, found.probability) == (4, 6, pytest.approx(2 / 3))
    # Wilson's interval, by its formula.
    z, share, pairs = stats.norm.ppf(0.975), 4 / 6, 6
    middle = (share + z**2 / (2 * pairs)) / (1 + z**2 / pairs)
    half = z / (1 + z**2 / pairs) * math.sqrt(share * (1 - share) / pairs + z**2 / (4 * pairs**2))
    assert (found.low, found.high) == (pytest.approx(middle - half), pytest.approx(middle + half))
