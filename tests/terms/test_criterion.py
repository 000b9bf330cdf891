"""The cross-entropy against PyTorch's own and against the formula in plain Python."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from peerdistill.terms import Batch, Criterion, CrossEntropy, EnsembleCrossEntropy

WEIGHTS = [0.5, 1.0, 3.0, 2.0, 0.25]


def by_hand(logits, targets, smoothing, weights):
    """The documented formula: sum_n sum_c w q (-log p) / sum_n sum_c w t, in plain Python."""
    loss, total = 0.0, 0.0
    for z, t in zip(logits.tolist(), targets.tolist(), strict=True):
        log_sum = math.log(sum(math.exp(score) for score in z))
        for score, share, weight in zip(z, t, weights, strict=True):
            loss += weight * ((1 - smoothing) * share + smoothing / len(z)) * (log_sum - score)
            total += weight * share
    return loss / total


def distributions(rows, seed=0):
    return torch.rand(rows, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(-1)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_of_labels_is_pytorchs_cross_entropy(out, labels, smoothing, weights):
    criterion = Criterion(smoothing, weights).double()
    options = {"weight": criterion.class_weights, "label_smoothing": smoothing}
    of_peers = [F.cross_entropy(logits, labels, **options) for logits in out.logits]
    assert criterion(out.ensemble, labels).item() == F.cross_entropy(out.ensemble, labels, **options).item()
    assert criterion(out.logits, labels).item() == pytest.approx(sum(of_peers).item(), rel=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_of_mixed_samples_is_pytorchs_cross_entropy_of_probabilities(out, labels, smoothing):
    targets = distributions(4)
    expected = sum(F.cross_entropy(logits, targets, label_smoothing=smoothing) for logits in out.logits)
    assert Criterion(smoothing)(out.logits, labels, targets).item() == pytest.approx(expected.item(), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    mixed=st.integers(0, 4),
    smoothing=st.floats(0, 0.95),
    weights=st.none() | st.lists(st.floats(0.01, 100), min_size=5, max_size=5),
    seed=st.integers(0, 1000),
)
def test_of_some_mixed_samples_is_the_formula(mixed, smoothing, weights, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    labels = torch.randint(5, (4,), generator=generator)
    targets = distributions(mixed, seed)
    whole = torch.cat([targets, torch.eye(5, dtype=torch.float64)[labels[mixed:]]])
    criterion = Criterion(smoothing, weights)
    criterion.class_weights = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    expected = sum(by_hand(peer, whole, smoothing, weights or [1.0] * 5) for peer in logits)
    assert criterion(logits, labels, targets).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_a_one_hot_distribution_is_a_label(out, labels, weights):
    """Mixing changes no scale: a sample mixed with itself has the loss and the gradient that it has with its label."""
    criterion = Criterion(0.1, weights).double()
    one_hot = torch.eye(5, dtype=torch.float64)[labels[:3]]
    losses = criterion(out.logits, labels), criterion(out.logits, labels, one_hot)
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, out.logits)[0] for loss in losses]
    torch.testing.assert_close(gradients[1], gradients[0])


def test_labels_of_mixed_samples_are_not_used(out, labels, indices):
    other = labels.clone()
    other[:2] = 1
    for term in (CrossEntropy(), EnsembleCrossEntropy()):
        values = [term(out, Batch(one, indices, targets=distributions(2))).item() for one in (labels, other)]
        assert values[0] == values[1]


@pytest.mark.parametrize("targets", [None, distributions(2)])
def test_terms_use_the_criterion_of_the_batch(out, labels, indices, targets):
    criterion = Criterion(0.2, WEIGHTS).double()
    batch = Batch(labels, indices, targets=targets, criterion=criterion)
    assert CrossEntropy()(out, batch).item() == criterion(out.logits, labels, targets).item()
    assert EnsembleCrossEntropy()(out, batch).item() == criterion(out.ensemble, labels, targets).item()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_is_computed_in_float32_under_autocast(labels, dtype):
    criterion, logits = Criterion(0.1, WEIGHTS), torch.randn(2, 4, 5)
    for targets in (None, distributions(2).float()):
        expected = criterion(logits.to(dtype).float(), labels, targets)
        with torch.autocast("cpu", dtype=dtype):
            found = criterion(logits.to(dtype), labels, targets)
        assert found.dtype == torch.float32
        assert found.item() == pytest.approx(expected.item(), rel=1e-6)


def test_class_weights_are_no_state():
    criterion = Criterion(0.1, WEIGHTS)
    assert not criterion.state_dict()
    assert not list(criterion.parameters())
    assert repr(criterion) == "Criterion(label_smoothing=0.1, class_weights=5 weights)"
