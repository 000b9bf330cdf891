from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch.utils.data import WeightedRandomSampler

from peerdistill.data.order import EpochOrder, earlier_draws
from peerdistill.rng import Draws, keyed_generator

LABELS = torch.tensor([0] * 60 + [1] * 30 + [3] * 10)  # class 2 has no image


def test_balanced_draws_every_class_and_every_image_of_a_class_equally_often():
    order = EpochOrder(LABELS, "balanced", seed=0)
    rows = torch.cat([order(epoch) for epoch in range(60)])
    classes = Counter(LABELS[rows].tolist())
    assert classes.keys() == {0, 1, 3}
    assert chisquare(list(classes.values())).pvalue > 0.01
    for label in classes:
        images = torch.bincount(rows[LABELS[rows] == label], minlength=100)[label == LABELS]
        assert chisquare(images.numpy()).pvalue > 0.001


def test_balanced_is_pytorchs_weighted_sampler():
    weights = [1 / 60] * 60 + [1 / 30] * 30 + [1 / 10] * 10
    expected = WeightedRandomSampler(weights, 100, generator=keyed_generator(Draws.ORDER, 3, 5))
    assert EpochOrder(LABELS, "balanced", seed=3)(5).tolist() == list(expected)


@pytest.mark.parametrize("sampler", ["shuffle", "balanced"])
def test_order_has_as_many_draws_as_images_and_depends_on_seed_and_epoch(sampler):
    orders = {
        tuple(EpochOrder(LABELS, sampler, seed)(epoch).tolist())
        for seed in range(3)
        for epoch in range(3)
        for _ in "ab"
    }
    assert len(orders) == 9
    assert {len(order) for order in orders} == {100}


def test_shuffle_draws_every_image_once():
    assert sorted(EpochOrder(LABELS, "shuffle", seed=0)(2).tolist()) == list(range(100))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
@settings(deadline=None)
def test_earlier_draws_are_counted(rows):
    expected = [rows[:place].count(row) for place, row in enumerate(rows)]
    assert earlier_draws(torch.tensor(rows)).tolist() == expected
