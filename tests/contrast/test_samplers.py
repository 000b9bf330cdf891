import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from peerdistill.contrast import AllSampler, NegativeSampler, SharedSampler
from peerdistill.errors import UserError


@settings(max_examples=50, deadline=None)
@given(
    # Classes of unequal size; some of the labels 0 to 6 may not occur.
    labels=st.lists(st.integers(0, 6), min_size=2, max_size=40).filter(lambda labels: len(set(labels)) > 1),
    seed=st.integers(0, 2**32),
)
def test_never_draws_the_anchors_label(labels, seed):
    labels_N = torch.tensor(labels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there may be fewer than 60
        sampler = NegativeSampler(labels_N, 60)
    drawn_BS = sampler(labels_N, torch.Generator().manual_seed(seed))
    assert (labels_N[drawn_BS] != labels_N[:, None]).all()


@pytest.mark.parametrize("anchor_label", [0, 1, 2, 3])
def test_uniform_over_all_samples_of_other_labels(anchor_label):
    generator = torch.Generator().manual_seed(20 + anchor_label)
    labels_N = torch.multinomial(torch.tensor([5.0, 1.0, 2.0, 3.0]), 3000, replacement=True, generator=generator)
    sampler = NegativeSampler(labels_N, 1000)
    drawn_BS = sampler(torch.full((1000,), anchor_label), generator)
    assert drawn_BS.numel() == 10**6
    counts_N = torch.bincount(drawn_BS.flatten(), minlength=3000)
    assert counts_N[labels_N == anchor_label].sum() == 0
    assert stats.chisquare(counts_N[labels_N != anchor_label].numpy()).pvalue > 0.01


def test_anchors_of_a_batch_have_different_draws():
    labels_N = torch.arange(200) % 4
    drawn_BS = NegativeSampler(labels_N, 100)(torch.zeros(8, dtype=torch.long))
    assert len(torch.unique(drawn_BS, dim=0)) == 8


@pytest.mark.parametrize("explicit", [True, False], ids=["generator", "global seed"])
def test_same_seed_same_draw(explicit):
    labels_N = torch.arange(200) % 4
    sampler = NegativeSampler(labels_N, 50)

    def draw(seed):
        if explicit:
            return sampler(labels_N[:6], torch.Generator().manual_seed(seed))
        torch.manual_seed(seed)
        return sampler(labels_N[:6])

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_count_is_lowered_if_there_are_fewer():
    labels_N = torch.tensor([0, 0, 0, 1, 1, 2])
    with pytest.warns(UserWarning, match="drawing 3 negatives per anchor instead of 16384: some anchors have only 3"):
        sampler = NegativeSampler(labels_N, 16384)
    assert sampler.count == 3
    assert sampler(labels_N).shape == (6, 3)


@pytest.mark.filterwarnings("error")
def test_no_warning_if_there_are_enough():
    assert NegativeSampler(torch.tensor([0, 0, 0, 1, 1, 2]), 3).count == 3


def test_shared_are_uniform_over_all_samples():
    labels_N = torch.arange(3000) % 7
    generator = torch.Generator().manual_seed(3)
    sampler = SharedSampler(labels_N, 2500)
    drawn = torch.cat([sampler(labels_N[:4], generator) for _ in range(400)])
    assert drawn.shape == (10**6,)
    assert stats.chisquare(torch.bincount(drawn, minlength=3000).numpy()).pvalue > 0.01


@pytest.mark.filterwarnings("error")
def test_shared_returns_each_sample_once_if_count_equals_their_number():
    assert SharedSampler(torch.arange(9) % 2, 9)(torch.tensor([0])).tolist() == list(range(9))


def test_shared_returns_each_sample_once_if_there_are_fewer():
    with pytest.warns(UserWarning, match="using all 9 training samples as shared negatives instead of 10"):
        sampler = SharedSampler(torch.arange(9) % 2, 10)
    assert sampler(torch.tensor([0])).tolist() == list(range(9))


def test_same_seed_same_shared_draw():
    sampler = SharedSampler(torch.arange(200) % 4, 50)
    first, again, other = (sampler(torch.zeros(2).long(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("sampler", [NegativeSampler, SharedSampler, AllSampler])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 0, 0], "all training samples have the same label"),
        ([], "must not be empty"),
        ([0, -1], "at least 0"),
    ],
)
def test_labels_that_leave_no_negatives(sampler, labels, message):
    with pytest.raises(UserError, match=message):
        sampler(torch.tensor(labels, dtype=torch.long), 2)


@pytest.mark.parametrize("sampler", [NegativeSampler, SharedSampler, AllSampler])
def test_state_dict_is_empty(sampler):
    assert not sampler(torch.tensor([0, 1]), 1).state_dict()


LABELS_TWICE = st.lists(st.integers(0, 6), min_size=2, max_size=40).filter(lambda labels: len(set(labels)) > 1)


@settings(max_examples=50, deadline=None)
@given(labels=LABELS_TWICE, count=st.integers(1, 40), seed=st.integers(0, 2**32))
def test_draws_without_replacement_are_distinct(labels, count, seed):
    labels_N = torch.tensor(labels)
    generator = torch.Generator().manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there may be fewer
        own, shared = (kind(labels_N, count, replacement=False) for kind in (NegativeSampler, SharedSampler))
    drawn_BS = own(labels_N, generator)
    assert drawn_BS.shape == (len(labels), own.count)
    assert (labels_N[drawn_BS] != labels_N[:, None]).all()
    for drawn in (*drawn_BS, shared(labels_N, generator)):
        assert len(drawn.unique()) == len(drawn)


@pytest.mark.parametrize("anchor_label", [0, 1, 2, 3])
def test_without_replacement_uniform_over_all_samples_of_other_labels(anchor_label):
    """Each of 4,000 anchors draws a sample with probability S / candidates."""
    generator = torch.Generator().manual_seed(anchor_label)
    labels_N = torch.multinomial(torch.tensor([5.0, 1.0, 2.0, 3.0]), 300, replacement=True, generator=generator)
    sampler = NegativeSampler(labels_N, 60, replacement=False)
    drawn_BS = sampler(torch.full((4000,), anchor_label), generator)
    others = labels_N != anchor_label
    counts_N = torch.bincount(drawn_BS.flatten(), minlength=300)
    assert counts_N[~others].sum() == 0
    # The variance is lower than that of independent draws, by the fraction of candidates that are not drawn.
    scatter = (counts_N[others] - counts_N[others].double().mean()).square().sum() / counts_N[others].double().mean()
    expected = others.sum() * (1 - 60 / others.sum())
    assert 0.7 < scatter / expected < 1.4


def test_anchors_have_different_draws_without_replacement():
    labels_N = torch.arange(200) % 4
    drawn_BS = NegativeSampler(labels_N, 100, replacement=False)(torch.zeros(8, dtype=torch.long))
    assert len(torch.unique(drawn_BS.sort(-1).values, dim=0)) == 8


def test_draws_are_those_of_earlier_versions():
    """So that runs of earlier versions can be reproduced."""
    labels_N = torch.arange(20) % 4
    sampler = NegativeSampler(labels_N, 5)
    drawn = sampler(torch.tensor([1, 3]), torch.Generator().manual_seed(0))
    bits = torch.randint(2**62, (2, 5), generator=torch.Generator().manual_seed(0))
    others = [
        torch.cat([torch.nonzero(labels_N == label)[:, 0] for label in range(4) if label != own]) for own in (1, 3)
    ]
    expected = [samples[row % len(samples)] for samples, row in zip(others, bits, strict=True)]
    assert torch.equal(drawn, torch.stack(expected))
