import math

import pytest
import torch

from peerdistill.errors import UserError
from peerdistill.terms import EnsembleToLeader, mean_logits


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
    loss = EnsembleToLeader(T)(out, labels, indices)
    assert loss.item() == pytest.approx(T**2 * divergence, rel=1e-10)


def test_only_the_leader_learns(out, labels, indices):
    """The ensemble is a target: with respect to the leader's logits the gradient is T (p_L - p_E) / B, no more."""
    T = 3.0
    EnsembleToLeader(T)(out, labels, indices).backward()
    logits = out.logits.detach()
    expected = T * ((logits[-1] / T).softmax(-1) - (logits.mean(0) / T).softmax(-1)) / len(labels)
    assert (out.logits.grad[-1] - expected).abs().max() < 1e-12
    assert not out.logits.grad[:-1].any()
    assert out.features.grad is None


def test_nothing_to_learn_where_all_agree(out, labels, indices):
    agreed = out._replace(logits=out.logits[:1].expand(3, -1, -1))
    assert EnsembleToLeader()(agreed, labels, indices).item() == pytest.approx(0, abs=1e-12)


def test_ensemble_is_the_mean_of_all_peers(out):
    first, second, third = out.logits
    torch.testing.assert_close(mean_logits(out), (first + second + third) / 3)


@pytest.mark.parametrize("T", [0.0, -3.0])
def test_temperature_is_above_zero(T):
    with pytest.raises(UserError, match=f"temperature must be above 0, found {T}"):
        EnsembleToLeader(T)


def test_temperature_is_the_papers():
    assert EnsembleToLeader().temperature == 3.0
