import pytest
import torch

from peerdistill.errors import UserError
from peerdistill.terms import Batch, MutualKL, OthersToPeer


@pytest.mark.parametrize("T", [1.0, 2.0, 7.0])
def test_mutual_is_the_mean_over_the_others_summed_over_peers(out, labels, indices, divergence, T):
    z = out.logits
    expected = sum(sum(divergence(z[j], z[m], T) for j in range(3) if j != m) / 2 for m in range(3))
    assert MutualKL(T)(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


def test_mutual_targets_get_no_gradient(out, labels, indices):
    """The gradient with respect to z_m is T times the difference to the mean of the others, divided by B."""
    T = 2.0
    MutualKL(T)(out, Batch(labels, indices)).backward()
    p = (out.logits.detach() / T).softmax(-1)
    others = (p.sum(0) - p) / 2
    torch.testing.assert_close(out.logits.grad, T * (p - others) / len(labels))


@pytest.mark.parametrize("T", [1.0, 2.0, 7.0])
def test_others_is_the_divergence_from_the_mean_of_the_others(out, labels, indices, divergence, T):
    z = out.logits.detach()
    expected = sum(divergence((z[(m + 1) % 3] + z[(m + 2) % 3]) / 2, z[m], T) for m in range(3))
    assert OthersToPeer(T)(out, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


def test_the_mean_of_the_others_gets_no_gradient(out, labels, indices):
    T = 3.0
    OthersToPeer(T)(out, Batch(labels, indices)).backward()
    z = out.logits.detach()
    target = ((z.sum(0) - z) / 2 / T).softmax(-1)
    torch.testing.assert_close(out.logits.grad, T * ((z / T).softmax(-1) - target) / len(labels))


@pytest.mark.parametrize("term", [MutualKL, OthersToPeer])
def test_loss_is_zero_if_all_peers_agree(out, labels, indices, term):
    agreed = out._replace(logits=out.logits[:1].detach().expand(3, -1, -1).clone().requires_grad_())
    loss = term(2.0)(agreed, Batch(labels, indices))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert agreed.logits.grad.abs().max() < 1e-12


@pytest.mark.parametrize("term", [MutualKL, OthersToPeer])
def test_temperature_must_be_above_zero(term):
    with pytest.raises(UserError, match=r"temperature must be above 0, found 0\.0"):
        term(0.0)
