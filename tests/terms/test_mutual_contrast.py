"""The four terms of MCL against loops over pairs of peers and anchors."""

import math

import jaxtyping
import pytest
import torch

from peerdistill.errors import UserError
from peerdistill.terms import (
    Batch,
    InBatchScores,
    InteractiveContrast,
    SoftInteractiveContrast,
    SoftVanillaContrast,
    VanillaContrast,
)

M, B = 3, 4
PAIRS = [(a, b) for a in range(M) for b in range(M) if a != b]
TAU = 0.3


@pytest.fixture
def scores():
    torch.manual_seed(0)
    return InBatchScores((6,) * M, width=5, tau=TAU).double()


def naive_embeddings(scores, out):
    """Linear, ReLU, linear, then unit length: [peer][sample] as lists."""
    found = []
    for head, features in zip(scores.heads, out.features.detach(), strict=True):
        hidden = (features @ head[0].weight.T + head[0].bias).clamp(min=0)
        rows = (hidden @ head[2].weight.T + head[2].bias).tolist()
        found.append([[value / math.hypot(*row) for value in row] for row in rows])
    return found


def similarity(one, other):
    return sum(x * y for x, y in zip(one, other, strict=True)) / TAU


def naive_contrast(anchors, contrasted, labels):
    losses = []
    for i, label in enumerate(labels):
        h = {k: math.exp(similarity(anchors[i], contrasted[k])) for k in range(B) if k != i}
        of_positives = [-math.log(h[k] / sum(h.values())) for k in h if labels[k] == label]
        losses += [sum(of_positives) / len(of_positives)] if of_positives else []
    return sum(losses) / len(losses)


def distributions(anchors, contrasted, own):
    """Scores of each anchor with the other samples, or with all samples."""
    return torch.tensor(
        [[similarity(anchors[i], contrasted[k]) for k in range(B) if own or k != i] for i in range(B)],
        dtype=torch.float64,
    )


def test_vanilla_is_each_peers_own_contrast(out, labels, indices, scores):
    e = naive_embeddings(scores, out)
    expected = sum(naive_contrast(peer, peer, labels.tolist()) for peer in e)
    assert VanillaContrast(scores)(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


def test_interactive_is_the_contrast_of_ordered_pairs(out, labels, indices, scores):
    e = naive_embeddings(scores, out)
    expected = sum(naive_contrast(e[a], e[b], labels.tolist()) for a, b in PAIRS)
    assert InteractiveContrast(scores)(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("T", [1.0, 3.0])
@pytest.mark.parametrize("compared", ["others", "all"])
def test_soft_vanilla_is_the_divergence_between_peers(out, labels, indices, scores, divergence, T, compared):
    p = [distributions(peer, peer, own=compared == "all") for peer in naive_embeddings(scores, out)]
    expected = sum(divergence(p[b], p[a], T) for a, b in PAIRS)
    assert SoftVanillaContrast(scores, T, compared)(out, Batch(labels, indices)).item() == pytest.approx(
        expected, rel=1e-10
    )


@pytest.mark.parametrize("T", [1.0, 3.0])
@pytest.mark.parametrize("compared", ["others", "all"])
def test_soft_interactive_is_the_divergence_of_pairs_both_ways(out, labels, indices, scores, divergence, T, compared):
    e = naive_embeddings(scores, out)
    q = {(a, b): distributions(e[a], e[b], own=compared == "all") for a, b in PAIRS}
    expected = sum(divergence(q[b, a], q[a, b], T) for a, b in PAIRS)
    term = SoftInteractiveContrast(scores, T, compared)
    assert term(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("part", [VanillaContrast, InteractiveContrast, SoftVanillaContrast, SoftInteractiveContrast])
def test_heads_and_peers_learn_from_every_part(out, labels, indices, scores, part):
    part(scores)(out, Batch(labels, indices)).backward()
    assert all(parameter.grad.any() for parameter in scores.parameters())
    assert all(features.any() for features in out.features.grad)
    assert out.logits.grad is None


def test_targets_of_the_soft_terms_get_no_gradient(out, labels, indices, scores):
    """The gradient is that of cross-entropies with fixed targets."""
    T = 3.0
    SoftVanillaContrast(scores, T, "all")(out, Batch(labels, indices)).backward()
    found, out.features.grad = out.features.grad, None
    s = scores.within(out, Batch(labels, indices))
    target = (s.detach() / T).softmax(-1)
    sum(-(T**2) * (target[b] * (s[a] / T).log_softmax(-1)).sum() / B for a, b in PAIRS).backward()
    torch.testing.assert_close(found, out.features.grad)
    out.features.grad = None
    SoftInteractiveContrast(scores, T, "all")(out, Batch(labels, indices)).backward()
    found, out.features.grad = out.features.grad, None
    s, reverse = scores.across(out, Batch(labels, indices))
    (-(T**2) * ((reverse.detach() / T).softmax(-1) * (s / T).log_softmax(-1)).sum() / B).backward()
    torch.testing.assert_close(found, out.features.grad)


@pytest.mark.parametrize("part", [VanillaContrast, InteractiveContrast, SoftVanillaContrast, SoftInteractiveContrast])
def test_order_of_the_peers_does_not_matter(out, labels, indices, scores, part):
    """The loss does not change if two peers are swapped together with their heads."""
    pair = out._replace(features=out.features[:2])
    swapped = out._replace(features=out.features[:2].flip(0))
    two = InBatchScores((6, 6), width=5).double()
    loss = part(two)(pair, Batch(labels, indices)).item()
    two.heads = torch.nn.ModuleList([two.heads[1], two.heads[0]])
    assert part(two)(swapped, Batch(labels, indices)).item() == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("part", [SoftVanillaContrast, SoftInteractiveContrast])
def test_loss_is_zero_if_all_peers_agree(out, labels, indices, scores, part):
    for head in scores.heads[1:]:
        head.load_state_dict(scores.heads[0].state_dict())
    agreed = out._replace(features=out.features[:1].detach().expand(M, -1, -1).clone().requires_grad_())
    loss = part(scores)(agreed, Batch(labels, indices))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert agreed.features.grad.abs().max() < 1e-12


@pytest.mark.parametrize("part", [VanillaContrast, InteractiveContrast, SoftVanillaContrast, SoftInteractiveContrast])
def test_a_batch_of_one_sample_gives_zero(out, labels, indices, scores, part):
    alone = out._replace(features=out.features[:, :1])
    assert part(scores)(alone, Batch(labels[:1], indices[:1])).item() == 0


@pytest.mark.parametrize("part", [VanillaContrast, InteractiveContrast, SoftVanillaContrast, SoftInteractiveContrast])
def test_a_small_temperature_stays_finite(out, labels, indices, part):
    loss = part(InBatchScores((6,) * M, 5, tau=1e-4).double())(out, Batch(labels, indices))
    loss.backward()
    assert loss.isfinite()
    assert out.features.grad.isfinite().all()


@pytest.mark.parametrize("part", [SoftVanillaContrast, SoftInteractiveContrast])
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"temperature": -1.0}, r"temperature must be above 0, found -1\.0"),
        ({"compared": "own"}, "unknown compared 'own': choose from others, all"),
    ],
)
def test_errors(monkeypatch, scores, part, options, sentence):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # disables the shape checks of the tests
    with pytest.raises(UserError, match=sentence):
        part(scores, **options)


def test_embeddings_and_scores_are_computed_once_for_all_terms(out, labels, indices, scores):
    parts = [VanillaContrast, InteractiveContrast, SoftVanillaContrast, SoftInteractiveContrast]
    calls = []
    for head in scores.heads:
        head.register_forward_hook(lambda *_: calls.append(1))
    variables = [*scores.parameters(), out.features]
    apart = sum(part(scores)(out, Batch(labels, indices)) for part in parts)
    expected = torch.autograd.grad(apart, variables)
    assert len(calls) == len(parts) * M
    calls.clear()
    batch = Batch(labels, indices)
    together = sum(part(scores)(out, batch) for part in parts)
    assert len(calls) == M
    assert together.item() == apart.item()
    for found, value in zip(torch.autograd.grad(together, variables), expected, strict=True):
        torch.testing.assert_close(found, value)
    VanillaContrast(scores)(out, Batch(labels, indices))
    assert len(calls) == 2 * M  # the next batch is computed again
