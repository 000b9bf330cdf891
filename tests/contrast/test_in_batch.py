"""The contrast within a batch against loops over anchors."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.contrast import scores_across, scores_within, supervised_contrast
from peerdistill.contrast.in_batch import without_self
from peerdistill.errors import UserError

M, B, E = 3, 6, 4
LABELS = torch.tensor([1, 0, 1, 2, 1, 0])  # the sample of label 2 has no positive


@pytest.fixture
def embeddings():
    return torch.randn(M, B, E, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def naive_contrast(anchors, contrasted, labels, tau):
    """Mean over anchors with positives of the mean over positives of -log softmax over the other samples."""
    losses = []
    for i, label in enumerate(labels):
        others = [k for k in range(len(labels)) if k != i]
        h = {k: math.exp(cosine(anchors[i], contrasted[k]) / tau) for k in others}
        of_positives = [-math.log(h[k] / sum(h.values())) for k in others if labels[k] == label]
        if of_positives:
            losses.append(sum(of_positives) / len(of_positives))
    return sum(losses) / len(losses) if losses else 0.0


@pytest.mark.parametrize("tau", [0.05, 0.07, 1.0])
def test_within_is_the_sum_over_peers(embeddings, tau):
    expected = sum(naive_contrast(peer, peer, LABELS.tolist(), tau) for peer in embeddings.tolist())
    found = supervised_contrast(scores_within(embeddings, tau), LABELS)
    assert found.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("tau", [0.05, 0.07, 1.0])
def test_across_is_the_sum_over_ordered_pairs(embeddings, tau):
    embeddings_ = embeddings.tolist()
    pairs = [(a, b) for a in range(M) for b in range(M) if a != b]
    expected = sum(naive_contrast(embeddings_[a], embeddings_[b], LABELS.tolist(), tau) for a, b in pairs)
    scores, reverse = scores_across(embeddings, tau)
    assert supervised_contrast(scores, LABELS).item() == pytest.approx(expected, rel=1e-10)
    for number, (a, b) in enumerate(pairs):
        torch.testing.assert_close(reverse[number], scores[pairs.index((b, a))])


@settings(max_examples=25, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=7), seed=st.integers(0, 99))
def test_any_labels_with_and_without_positives(labels, seed):
    embeddings_ = torch.randn(2, len(labels), E, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    expected = sum(naive_contrast(peer, peer, labels, 0.2) for peer in embeddings_.tolist())
    found = supervised_contrast(scores_within(embeddings_, 0.2), torch.tensor(labels))
    assert found.item() == pytest.approx(expected, rel=1e-10, abs=1e-14)


def test_an_anchor_without_a_positive_is_ignored_but_is_a_negative(embeddings):
    alone = 3
    scores = scores_within(embeddings, 0.5).detach().requires_grad_()
    supervised_contrast(scores, LABELS).backward()
    assert not scores.grad[:, alone].any()
    assert scores.grad[:, 0, alone].all()


def test_no_positives_at_all_give_zero(embeddings):
    loss = supervised_contrast(scores_within(embeddings, 0.07), torch.arange(B))
    loss.backward()
    assert loss.item() == 0
    assert not embeddings.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_small_temperature_stays_finite(dtype):
    embeddings_ = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    for scores in (scores_within(embeddings_, 1e-4), *scores_across(embeddings_, 1e-4)):
        assert scores.dtype == torch.float32
        loss = supervised_contrast(scores, labels)
        assert 100 < loss.item() < 1e5
        (gradient,) = torch.autograd.grad(loss, embeddings_, retain_graph=True)
        assert gradient.isfinite().all()


def test_without_self_removes_the_diagonal():
    values = torch.arange(9.0).view(1, 3, 3)
    assert without_self(values).tolist() == [[[1, 2], [3, 5], [6, 7]]]


@pytest.mark.parametrize("scores", [scores_within, scores_across])
def test_temperature_must_be_above_zero(embeddings, scores):
    with pytest.raises(UserError, match=r"the contrast's temperature must be above 0, found 0\.0"):
        scores(embeddings, 0.0)
