import math

import pytest
import torch

from peerdistill.errors import UserError
from peerdistill.terms import Batch, EnsembleCrossEntropy, EnsembleToLeader, EnsembleToPeers


def softened(scores, T):
    total = sum(math.exp(score / T) for score in scores)
    return [math.exp(score / T) / total for score in scores]


@pytest.mark.parametrize("T", [0.5, 1.0, 3.0, 20.0])
def test_is_equations_3_to_5_times_t_squared(out, labels, indices, T):
    logits = out.logits.tolist()
    peers, batch = len(logits), len(logits[0])
    divergence = 0.0
    for i in range(batch):
        leader = softened(logits[-1][i], T)  # eq. 3
        mean = [sum(of_class) / peers for of_class in zip(*(peer[i] for peer in logits), strict=True)]
        ensemble = softened(mean, T)  # eq. 4
        divergence += sum(e * math.log(e / p) for e, p in zip(ensemble, leader, strict=True)) / batch  # eq. 5
    loss = EnsembleToLeader(T)(out, Batch(labels, indices))
    assert loss.item() == pytest.approx(T**2 * divergence, rel=1e-10)


def test_only_the_leader_learns(out, labels, indices):
    """The gradient with respect to the leader's logits is T (p_L - p_E) / B: none flows through the ensemble."""
    T = 3.0
    EnsembleToLeader(T)(out, Batch(labels, indices)).backward()
    logits = out.logits.detach()
    expected = T * ((logits[-1] / T).softmax(-1) - (logits.mean(0) / T).softmax(-1)) / len(labels)
    assert (out.logits.grad[-1] - expected).abs().max() < 1e-12
    assert not out.logits.grad[:-1].any()
    assert out.features.grad is None


def test_loss_is_zero_if_all_peers_agree(out, labels, indices):
    agreed = out._replace(logits=out.logits[:1].expand(3, -1, -1), ensemble=out.logits[0])
    assert EnsembleToLeader()(agreed, Batch(labels, indices)).item() == pytest.approx(0, abs=1e-12)


def test_each_peer_learns_from_the_methods_ensemble(out, labels, indices, divergence):
    T = 2.0
    own = out._replace(ensemble=out.logits.detach()[0] * 2)
    loss = EnsembleToPeers(T)(own, Batch(labels, indices))
    assert loss.item() == pytest.approx(sum(divergence(own.ensemble, z, T) for z in out.logits), rel=1e-10)
    loss.backward()
    expected = T * ((out.logits.detach() / T).softmax(-1) - (own.ensemble / T).softmax(-1)) / len(labels)
    torch.testing.assert_close(out.logits.grad, expected)


def test_the_target_gets_no_gradient(out, labels, indices):
    given = torch.randn_like(out.ensemble).requires_grad_()
    for term in (EnsembleToLeader(), EnsembleToPeers()):
        term(out._replace(ensemble=given), Batch(labels, indices)).backward()
    assert given.grad is None


def test_the_ensemble_learns_from_labels(out, labels, indices):
    given = torch.randn_like(out.ensemble).requires_grad_()
    loss = EnsembleCrossEntropy()(out._replace(ensemble=given), Batch(labels, indices))
    rows = [-math.log(softened(row, 1.0)[label]) for row, label in zip(given.tolist(), labels.tolist(), strict=True)]
    assert loss.item() == pytest.approx(sum(rows) / len(rows), rel=1e-10)
    loss.backward()
    assert given.grad.any()


@pytest.mark.parametrize("T", [0.0, -3.0])
def test_temperature_must_be_above_zero(T):
    with pytest.raises(UserError, match=f"temperature must be above 0, found {T}"):
        EnsembleToLeader(T)
