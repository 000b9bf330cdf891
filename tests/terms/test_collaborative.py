"""KDCL's targets against loops over samples."""

import math

import jaxtyping
import pytest
import torch

from peerdistill.errors import UserError
from peerdistill.terms import Batch, CollaborativeTarget
from peerdistill.terms.convex import best_weights


def naive_cross_entropy(scores, label):
    return math.log(sum(math.exp(score) for score in scores)) - scores[label]


def naive_best_peer(logits, labels):
    targets = []
    for i, label in enumerate(labels.tolist()):
        peers = [peer[i].tolist() for peer in logits]
        targets.append(min(peers, key=lambda scores: naive_cross_entropy(scores, label)))
    return torch.tensor(targets, dtype=torch.float64)


def naive_least_scores(logits, labels):
    rows = []
    for i, label in enumerate(labels.tolist()):
        margins = [[score - peer[i].tolist()[label] for score in peer[i].tolist()] for peer in logits]
        rows.append([min(of_class) for of_class in zip(*margins, strict=True)])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("T", [1.0, 2.0, 5.0])
@pytest.mark.parametrize(("target", "naive"), [("naive", naive_best_peer), ("min-logit", naive_least_scores)])
def test_every_peer_learns_from_the_target(out, labels, indices, divergence, target, naive, T):
    expected = sum(divergence(naive(out.logits, labels), z, T) for z in out.logits)
    assert CollaborativeTarget(T, target)(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


def two_peers(out):
    return out._replace(logits=out.logits[:2].detach().clone().requires_grad_())


def halved(logits, labels):
    """The best convex combination of two peers, by halving the interval in which the slope changes its sign."""
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
    target = halved(pair.logits, labels)
    expected = sum(divergence(target, z, T) for z in pair.logits)
    assert CollaborativeTarget(T, "linear")(pair, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


def cross_entropies(weights_BM, margins_MBC):
    return torch.einsum("bm,mbc->bc", weights_BM.double(), margins_MBC.double()).logsumexp(-1)


def drawn_margins(peers, size, dtype=torch.float64, batch=200, classes=10):
    """Peers that know something of the label, so that mixtures are worth something."""
    generator = torch.Generator().manual_seed(peers)
    logits = torch.randn(peers, batch, classes, generator=generator, dtype=torch.float64)
    logits[..., 0] += 1
    return (size * (logits - logits[..., :1])).to(dtype)


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0, 100.0])
@pytest.mark.parametrize("peers", [2, 4, 8])
def test_no_other_weights_fit_better(peers, size):
    """Against corners, the middle, and ten thousand mixtures that lie everywhere and near the weights found."""
    margins = drawn_margins(peers, size)
    found = best_weights(margins)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum(-1), torch.ones(200, dtype=torch.float64))
    least = cross_entropies(found, margins)
    near = [
        found.lerp(corner.expand_as(found), share) for corner in torch.eye(peers).double() for share in (1, 0.1, 1e-3)
    ]
    drawn = torch.distributions.Dirichlet(torch.full((peers,), 0.5, dtype=torch.float64)).sample((50, 200))
    for other in (*near, *drawn, torch.full_like(found, 1 / peers)):
        assert (cross_entropies(other, margins) - least).min() > -1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_of_lower_precision_are_nearly_as_good(dtype):
    margins = drawn_margins(4, 10.0, dtype)
    found = best_weights(margins)
    assert found.dtype == torch.float32
    worse = cross_entropies(found, margins) - cross_entropies(best_weights(margins.double()), margins)
    assert worse.abs().max() < 1e-4


@pytest.mark.parametrize("target", ["naive", "linear", "min-logit"])
def test_the_target_fits_the_label_at_least_as_well_as_any_peer(out, labels, indices, target):
    """With respect to z_m the gradient is T (p_m - p_t) / B, from which the target is read back."""
    T = 1.0
    CollaborativeTarget(T, target)(out, Batch(labels, indices)).backward()
    p = out.logits.detach().softmax(-1)
    targets = p - len(labels) * out.logits.grad
    assert (targets - targets[0]).abs().max() < 1e-12, "one target for all, which carries no gradient"
    rows = torch.arange(len(labels))
    assert (targets[0][rows, labels] >= p[:, rows, labels].amax(0) - 1e-9).all()


@pytest.mark.parametrize("target", ["naive", "linear", "min-logit"])
def test_nothing_to_learn_where_all_agree(out, labels, indices, target):
    agreed = out._replace(logits=out.logits[:1].detach().expand(3, -1, -1).clone().requires_grad_())
    loss = CollaborativeTarget(2.0, target)(agreed, Batch(labels, indices))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert agreed.logits.grad.abs().max() < 1e-12


def test_min_logit_may_be_better_than_all_peers():
    """Each of two peers rules out one wrong class."""
    logits = torch.tensor([[[0.0, -9.0, 0.0]], [[0.0, 0.0, -9.0]]], dtype=torch.float64)
    torch.testing.assert_close(
        naive_least_scores(logits, torch.tensor([0])), torch.tensor([[0.0, -9.0, -9.0]]).double()
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": 0.0}, r"temperature must be above 0, found 0\.0"),
        ({"target": "minlogit"}, "unknown target 'minlogit': did you mean min-logit"),
    ],
)
def test_what_is_refused(monkeypatch, options, sentence):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # or the checks of the tests refuse first
    with pytest.raises(UserError, match=sentence):
        CollaborativeTarget(**options)
