"""OKDDip's two levels against loops over peers and samples."""

import pytest
import torch

from peerdistill.terms import AttentionTargets, Batch, GroupToLeader


def naive_alpha(term, features):
    """Attention of the auxiliaries, one dot product at a time: [sample][a][b]."""
    auxiliaries, batch = len(features) - 1, features.shape[1]
    rows = []
    for i in range(batch):
        query = [term.query.weight @ features[a, i] for a in range(auxiliaries)]
        key = [term.key.weight @ features[a, i] for a in range(auxiliaries)]
        scores = torch.tensor([[(q @ k).item() for k in key] for q in query], dtype=torch.float64)
        rows.append(scores.exp() / scores.exp().sum(1, keepdim=True))
    return torch.stack(rows)


def naive_divergence(target, log_p, T):
    return (T**2 * (target * (target.log() - log_p)).sum(-1).mean()).item()


def mixture(weights, logits, T, mix):
    """Target of one peer for each sample, from weights (batch, auxiliaries)."""

    def mixed(row, i):
        if mix == "logits":
            return (sum(w * z[i] for w, z in zip(row, logits, strict=True)) / T).softmax(-1)
        return sum(w * (z[i] / T).softmax(-1) for w, z in zip(row, logits, strict=True))

    return torch.stack([mixed(row, i) for i, row in enumerate(weights)])


@pytest.mark.parametrize("mix", ["probabilities", "logits"])
def test_attention_targets_are_the_formula(out, labels, indices, mix):
    T = 3.0
    term = AttentionTargets(feature_width=6, temperature=T, mix=mix).double()
    alpha, z = naive_alpha(term, out.features.detach()), out.logits.detach()[:-1]
    expected = sum(naive_divergence(mixture(alpha[:, a], z, T, mix), (z[a] / T).log_softmax(-1), T) for a in range(2))
    assert term(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("mix", ["probabilities", "logits"])
def test_group_is_the_mean_of_the_auxiliaries(out, labels, indices, mix):
    T = 3.0
    z = out.logits.detach()
    target = mixture(torch.full((4, 2), 0.5, dtype=torch.float64), z[:-1], T, mix)
    expected = naive_divergence(target, (z[-1] / T).log_softmax(-1), T)
    assert GroupToLeader(T, mix, "none")(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("mix", ["probabilities", "logits"])
def test_gradient_through_targets_as_released(out, labels, indices, mix):
    """The attention learns in both cases, the auxiliaries from the group's mean only without stop_gradient."""
    for stop, auxiliaries_learn in (("none", True), ("logits", False)):
        out.logits.grad = None
        GroupToLeader(3.0, mix, stop)(out, Batch(labels, indices)).backward()
        assert bool(out.logits.grad[:-1].any()) is auxiliaries_learn
        assert out.logits.grad[-1].any()
        attention = AttentionTargets(6, 3.0, mix, stop).double()
        out.logits.grad = None
        attention(out, Batch(labels, indices)).backward()
        assert attention.query.weight.grad.any()
        assert attention.key.weight.grad.any()
        assert not out.logits.grad[-1].any()
        assert not out.features.grad[-1].any()


@pytest.mark.parametrize("stop", ["none", "logits"])
def test_gradient_of_the_attention_is_a_finite_difference(out, labels, indices, stop):
    term = AttentionTargets(6, 3.0, "probabilities", stop).double()
    term(out, Batch(labels, indices)).backward()
    weight, step = term.query.weight, 1e-6
    with torch.no_grad():
        weight[0, 2] += step
        above = term(out, Batch(labels, indices)).item()
        weight[0, 2] -= 2 * step
        below = term(out, Batch(labels, indices)).item()
    assert weight.grad[0, 2].item() == pytest.approx((above - below) / (2 * step), rel=1e-6)


def test_attention_weights_sum_to_one(out):
    log_alpha = AttentionTargets(6).double().log_attention(out.features[:-1])
    assert log_alpha.shape == (4, 2, 2)
    torch.testing.assert_close(log_alpha.exp().sum(-1), torch.ones(4, 2, dtype=torch.float64))


def test_extreme_attention_is_finite(out, labels, indices):
    term = AttentionTargets(6).double()
    sharp = out._replace(features=(out.features.detach() * 1e4).requires_grad_())
    loss = term(sharp, Batch(labels, indices))
    loss.backward()
    assert loss.isfinite()
    assert sharp.features.grad.isfinite().all()
