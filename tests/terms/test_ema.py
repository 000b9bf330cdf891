"""EMAs of the peers against their closed form, and the divergence from them against loops."""

import pytest
import torch
from torch import nn

from peerdistill import Cohort
from peerdistill.errors import UserError
from peerdistill.terms import Batch, CrossEntropy, EMAPeersToPeers, Method, Weighted

LABELS, INDICES = torch.tensor([0, 1, 2, 1]), torch.arange(4)


@pytest.fixture
def cohort():
    torch.manual_seed(0)
    return Cohort("resnet20", classes=3, peers=3).double()


@pytest.fixture
def images():
    return torch.randn(4, 3, 8, 8, dtype=torch.float64)


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def changed(cohort) -> torch.Tensor:
    """Change the weights as an optimiser step would, and return them."""
    with torch.no_grad():
        for parameter in cohort.parameters():
            parameter.add_(torch.randn_like(parameter))
    return weights(cohort)


def test_the_ema_starts_as_the_mean_over_all_steps(cohort):
    term = EMAPeersToPeers(cohort)
    torch.testing.assert_close(weights(term.means), weights(cohort))
    steps = []
    for _ in range(5):
        steps.append(changed(cohort))
        term.after_step(cohort)
        torch.testing.assert_close(weights(term.means), torch.stack(steps).mean(0))


def test_the_ema_becomes_exponential(cohort):
    """With momentum 0.6: the mean of steps 1, 2 with weight 0.6^(k - 2), and step g with weight 0.4 * 0.6^(k - g)."""
    term = EMAPeersToPeers(cohort, momentum=0.6)
    steps = []
    for _ in range(6):
        steps.append(changed(cohort))
        term.after_step(cohort)
    expected = 0.6**4 * (steps[0] + steps[1]) / 2 + sum(0.4 * 0.6 ** (6 - g) * steps[g - 1] for g in (3, 4, 5, 6))
    torch.testing.assert_close(weights(term.means), expected)


@pytest.mark.parametrize("T", [1.0, 3.0])
def test_loss_is_the_mean_divergence_from_the_other_emas(cohort, images, divergence, T):
    term = EMAPeersToPeers(cohort, T)
    changed(cohort)
    term.after_step(cohort)
    changed(cohort)
    out = cohort(images)
    targets = term.means(images).logits
    expected = sum(sum(divergence(targets[j], out.logits[m], T) for j in range(3) if j != m) / 2 for m in range(3))
    assert term(out, Batch(LABELS, INDICES, out.images)).item() == pytest.approx(expected, rel=1e-10)


def test_the_emas_get_no_gradient(cohort, images):
    term = EMAPeersToPeers(cohort)
    before = weights(term.means).clone()
    term(cohort(images), Batch(LABELS, INDICES, images)).backward()
    assert all(parameter.grad is None for parameter in term.means.parameters())
    assert all(parameter.grad is not None for parameter in cohort.networks[0].fc.parameters())
    assert torch.equal(weights(term.means), before)


def test_the_emas_use_batch_statistics_and_update_their_own_running_statistics(cohort, images):
    term = EMAPeersToPeers(cohort)
    fresh = {name: value.clone() for name, value in term.means.named_buffers()}
    loss = term(cohort(images), Batch(LABELS, INDICES, images)).item()
    assert loss == pytest.approx(term(cohort(images), Batch(LABELS, INDICES, images)).item(), rel=1e-10)
    now = dict(term.means.named_buffers())
    assert not torch.equal(now["networks.0.stem.1.running_mean"], fresh["networks.0.stem.1.running_mean"])
    term.after_step(cohort)
    assert all(torch.equal(now[name], value) for name, value in term.means.named_buffers())


def test_the_emas_share_the_same_stages_as_the_peers(cohort):
    means = EMAPeersToPeers(cohort).means
    assert means.networks[0].stem is means.networks[2].stem
    assert means.networks[0].stem is not cohort.networks[0].stem
    assert means.networks[0].layer3 is not means.networks[1].layer3


def test_state_dict_restores_the_emas_and_the_number_of_steps(cohort):
    def method():
        return Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("means", 1.0, EMAPeersToPeers(cohort))])

    one = method()
    for _ in range(3):
        changed(cohort)
        one.after_step(cohort)
    other = method()
    other.load_state_dict(one.state_dict())
    changed(cohort)
    for each in (one, other):
        each.after_step(cohort)
    assert torch.equal(weights(other.terms["means"].means), weights(one.terms["means"].means))


@pytest.mark.parametrize("momentum", [1.0, -0.1])
def test_errors(cohort, momentum):
    with pytest.raises(UserError, match=f"momentum must be at least 0 and below 1, found {momentum}"):
        EMAPeersToPeers(cohort, momentum=momentum)
