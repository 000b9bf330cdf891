import math

import pytest
import torch
from torch import nn

from peerdistill import Cohort
from peerdistill.errors import UserError
from peerdistill.terms import Batch, CrossEntropy, EnsembleToLeader, MeanEnsemble, Method, Ramp, Weighted


class Norm(nn.Module):
    """A term with a parameter."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, out, batch):
        return self.scale * out.features.norm() + batch.indices.sum() + batch.labels.sum()


class Peer(nn.Module):
    """An ensemble that is a single peer."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, out):
        return out.logits[self.number]


def test_total_is_the_weighted_sum_of_its_parts(out, labels, indices):
    terms = {"labels": (1.0, CrossEntropy()), "teacher": (0.5, EnsembleToLeader()), "norm": (0.25, Norm())}
    loss = Method(Weighted(name, *term) for name, term in terms.items())(out, labels, indices)
    assert list(loss.parts) == list(terms)
    for name, (weight, term) in terms.items():
        assert loss.parts[name].item() == pytest.approx(weight * term(out, Batch(labels, indices)).item(), rel=1e-12)
    assert loss.total.item() == pytest.approx(sum(part.item() for part in loss.parts.values()), rel=1e-12)


def test_gradient_of_the_total_is_that_of_all_parts(out, labels, indices):
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("norm", 0.25, Norm())])
    method(out, labels, indices).total.backward()
    expected = 0.25 * 2.0 * out.features.detach() / out.features.detach().norm()
    torch.testing.assert_close(out.features.grad, expected)
    assert out.logits.grad.any()
    assert method.terms["norm"].scale.grad.item() == pytest.approx(0.25 * out.features.norm().item())


def test_state_of_terms_is_state_of_the_method(out):
    method = Method([Weighted("norm", 1.0, Norm())])
    assert list(method.state_dict()) == ["terms.norm.scale"]


@pytest.mark.parametrize("weight", [-1.0, -1e-9, float("nan"), float("inf")])
def test_weight_out_of_range(weight):
    with pytest.raises(UserError, match=f"the weight of 'norm' must be at least 0, found {weight}"):
        Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("norm", weight, Norm())])


@pytest.mark.parametrize("terms", [[], [Weighted("labels", 0.0, CrossEntropy())]])
def test_a_method_needs_a_term(terms):
    with pytest.raises(UserError, match="at least one term"):
        Method(terms)


def test_names_of_terms_are_unique():
    with pytest.raises(UserError, match="labels"):
        Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("labels", 2.0, CrossEntropy())])


def test_the_default_ensemble_is_the_mean(out):
    labels_only = [Weighted("labels", 1.0, CrossEntropy())]
    assert torch.equal(Method(labels_only).ensemble(out), out.logits.mean(0))
    assert torch.equal(Method(labels_only, Peer(0)).ensemble(out), out.logits[0])


def test_ramp_is_the_formula():
    ramp = Ramp(2.0, epochs=80)
    assert ramp.at(0) == pytest.approx(2.0 * math.exp(-5))
    assert ramp.at(40) == pytest.approx(2.0 * math.exp(-5 * 0.25))
    assert ramp.at(80) == ramp.at(300) == 2.0
    assert Ramp(2.0).at(0) == 2.0


def test_weights_follow_the_epoch(out, labels, indices):
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("norm", Ramp(0.5, epochs=4), Norm())])
    parts = []
    for epoch in (0, 2, 4, 9):
        method.start_epoch(epoch)
        parts.append(method(out, labels, indices).parts)
    whole = parts[-1]["norm"].item()
    shares = [part["norm"].item() / whole for part in parts]
    assert shares == pytest.approx([math.exp(-5), math.exp(-5 * 0.25), 1.0, 1.0])
    assert len({part["labels"].item() for part in parts}) == 1


class Follower(nn.Module):
    """A term with a state that follows the weights."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, out, batch):
        return out.logits.sum()

    def after_step(self, cohort):
        self.seen.append(cohort)


def test_after_step_reaches_the_terms():
    follower, cohort = Follower(), Cohort("resnet20", classes=3, peers=2)
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("follower", 1.0, follower)])
    for _ in range(2):
        method.after_step(cohort)
    assert follower.seen == [cohort, cohort]


def test_a_ramp_requires_start_epoch(out, labels, indices):
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("norm", Ramp(0.5, epochs=80), Norm())])
    with pytest.raises(
        UserError, match=r"the weight of 'norm' ramps up over 80 epochs: call method\.start_epoch\(epoch\)"
    ):
        method(out, labels, indices)
    method.start_epoch(0)
    first = method(out, labels, indices)
    assert first.parts["norm"].item() == method.eval()(out, labels, indices).parts["norm"].item()


def test_without_a_ramp_start_epoch_is_optional(out, labels, indices):
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("norm", Ramp(0.5, epochs=0), Norm())])
    told = method(out, labels, indices).total.item()
    method.start_epoch(50)
    assert method(out, labels, indices).total.item() == told


def test_a_follower_requires_after_step(out, labels, indices):
    cohort = Cohort("resnet20", classes=3, peers=2)
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("follower", 1.0, Follower())])
    for _ in range(2):
        method(out, labels, indices)
        method.after_step(cohort)
    method(out, labels, indices)
    with pytest.raises(UserError, match=r"'follower' follows the peers' weights: call method\.after_step\(cohort\)"):
        method(out, labels, indices)
    method.eval()(out, labels, indices)  # evaluation does not train


def test_a_follower_allows_as_many_batches_as_an_optimizer_step_has(out, labels, indices):
    cohort = Cohort("resnet20", classes=3, peers=2)
    method = Method([Weighted("labels", 1.0, CrossEntropy()), Weighted("follower", 1.0, Follower())])
    method.batches_per_step = 3
    for batches in (3, 1, 3):  # the last step of an epoch may have fewer
        for _ in range(batches):
            method(out, labels, indices)
        method.after_step(cohort)
    for _ in range(3):
        method(out, labels, indices)
    with pytest.raises(UserError, match="'follower' follows the peers' weights"):
        method(out, labels, indices)


def test_without_a_follower_after_step_is_optional(out, labels, indices):
    method = Method([Weighted("labels", 1.0, CrossEntropy())])
    assert method(out, labels, indices).total.item() == method(out, labels, indices).total.item()


def test_terms_receive_the_methods_ensemble(out, labels, indices):
    method = Method([Weighted("ensemble", 1.0, EnsembleToLeader())], ensemble=Peer(-1))
    assert method(out, labels, indices).total.item() == pytest.approx(0, abs=1e-12)
    assert torch.equal(MeanEnsemble()(out), out.logits.mean(0))


def test_a_term_of_weight_zero_is_not_built(out, labels, indices):
    made = []

    def make():
        made.append(Norm())
        return made[-1]

    method = Method([Weighted("labels", 1.0, CrossEntropy), Weighted("norm", 0.0, make)])
    assert list(method(out, labels, indices).parts) == ["labels"]
    assert made == []
    method = Method([Weighted("labels", 1.0, CrossEntropy), Weighted("norm", Ramp(1.0, 5), make)])
    assert method.terms["norm"] is made[0]
    with pytest.raises(UserError, match="the weight of 'norm' must be at least 0"):
        method.add(Weighted("norm", -1.0, make))
    assert len(made) == 1
