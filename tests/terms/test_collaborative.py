"""KDCL's targets against loops over samples."""

import math

import jaxtyping
import pytest
import torch

from peerdistill.errors import UserError
from peerdistill.terms import Batch, CollaborativeTarget, lowest_scores


def naive_cross_entropy(scores, label):
    return math.log(sum(math.exp(score) for score in scores)) - scores[label]


def naive_best_peer(logits, labels):
    targets = []
    for i, label in enumerate(labels.tolist()):
        peers = [peer[i].tolist() for peer in logits]
        targets.append(min(peers, key=lambda scores: naive_cross_entropy(scores, label)))
    return torch.tensor(targets, dtype=torch.float64)


def naive_lowest_scores(logits, labels):
    rows = []
    for i, label in enumerate(labels.tolist()):
        margins = [[score - peer[i].tolist()[label] for score in peer[i].tolist()] for peer in logits]
        rows.append([min(of_class) for of_class in zip(*margins, strict=True)])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("T", [1.0, 2.0, 5.0])
@pytest.mark.parametrize(("target", "naive"), [("naive", naive_best_peer), ("min-logit", naive_lowest_scores)])
def test_loss_is_the_formula(out, labels, indices, divergence, target, naive, T):
    expected = sum(divergence(naive(out.logits, labels), z, T) for z in out.logits)
    assert CollaborativeTarget(T, target)(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


def two_peers(out):
    return out._replace(logits=out.logits[:2].detach().clone().requires_grad_())


def bisected(logits, labels):
    """The best convex combination of two peers, by bisection of the slope."""
    rows = []
    for i, label in enumerate(labels.tolist()):
        one, other = (peer[i].tolist() for peer in logits)
        low, high = 0.0, 1.0
        for _ in range(200):
            middle = (low + high) / 2
            mixed = [middle * a + (1 - middle) * b for a, b in zip(one, other, strict=True)]
            total = sum(math.exp(score) for score in mixed)
            steps = [a - b for a, b in zip(one, other, strict=True)]
            slope = sum(math.exp(s) / total * step for s, step in zip(mixed, steps, strict=True)) - steps[label]
            low, high = (middle, high) if slope < 0 else (low, middle)
        rows.append([low * a + (1 - low) * b for a, b in zip(one, other, strict=True)])
    return torch.tensor(rows, dtype=torch.float64)


def test_linear_is_the_best_convex_combination(out, labels, indices, divergence):
    T, pair = 2.0, two_peers(out)
    target = bisected(pair.logits, labels)
    expected = sum(divergence(target, z, T) for z in pair.logits)
    assert CollaborativeTarget(T, "linear")(pair, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("target", ["naive", "linear", "min-logit"])
def test_the_target_fits_the_label_at_least_as_well_as_any_peer(out, labels, indices, target):
    """The gradient with respect to z_m is T (p_m - p_t) / B, which gives the target p_t."""
    T = 1.0
    CollaborativeTarget(T, target)(out, Batch(labels, indices)).backward()
    p = out.logits.detach().softmax(-1)
    targets = p - len(labels) * out.logits.grad
    assert (targets - targets[0]).abs().max() < 1e-12, "one target for all peers, without gradient"
    rows = torch.arange(len(labels))
    assert (targets[0][rows, labels] >= p[:, rows, labels].amax(0) - 1e-9).all()


@pytest.mark.parametrize("target", ["naive", "linear", "min-logit"])
def test_loss_is_zero_if_all_peers_agree(out, labels, indices, target):
    agreed = out._replace(logits=out.logits[:1].detach().expand(3, -1, -1).clone().requires_grad_())
    loss = CollaborativeTarget(2.0, target)(agreed, Batch(labels, indices))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert agreed.logits.grad.abs().max() < 1e-12


def test_min_logit_can_be_better_than_all_peers():
    """Each of two peers excludes one wrong class; the target excludes both."""
    margins = torch.tensor([[[0.0, -9.0, 0.0]], [[0.0, 0.0, -9.0]]], dtype=torch.float64)
    assert lowest_scores(margins).tolist() == [[0.0, -9.0, -9.0]]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": 0.0}, r"temperature must be above 0, found 0\.0"),
        ({"target": "minlogit"}, "unknown target 'minlogit': did you mean min-logit"),
    ],
)
def test_errors(monkeypatch, options, sentence):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # disables the shape checks of the tests
    with pytest.raises(UserError, match=sentence):
        CollaborativeTarget(**options)
