"""Gradients are compared with finite differences in double precision."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from peerdistill import Cohort, UserError
from peerdistill.study.analyses import gradients
from peerdistill.study.analyses.base.analysis import DoesNotApply
from peerdistill.study.analyses.gradients import norms_and_cosines, part_gradients
from peerdistill.terms import CrossEntropy, Method, Weighted


class Length(nn.Module):
    """Mean square of all features."""

    def forward(self, out, batch):
        return out.features.square().mean()


@pytest.fixture(scope="module")
def batch() -> SimpleNamespace:
    torch.manual_seed(0)
    images, labels = torch.rand(6, 3, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])
    return SimpleNamespace(images=images, labels=labels, indices=torch.arange(6), targets=None)


@pytest.mark.parametrize("sharing", ["branch", "network"])
def test_the_gradient_of_each_part_is_its_slope(batch, sharing):
    torch.manual_seed(1)
    cohort = Cohort("resnet8", classes=3, peers=2, sharing=sharing).double().train()
    method = Method([Weighted("cross_entropy", 1.0, CrossEntropy()), Weighted("length", 0.5, Length())])
    found = part_gradients(cohort, method, batch)
    for of, weights in (("cohort", cohort), ("leader", cohort.networks[-1])):
        start = torch.nn.utils.parameters_to_vector(weights.parameters()).detach()
        direction = torch.randn(len(start), dtype=torch.float64)
        direction /= direction.norm()

        def parts(step: float, weights=weights, start=start, direction=direction) -> dict[str, float]:
            with torch.no_grad():
                torch.nn.utils.vector_to_parameters(start + step * direction, weights.parameters())
                return {
                    name: part.item()
                    for name, part in method(cohort(batch.images), batch.labels, batch.indices).parts.items()
                }

        above, below = parts(1e-6), parts(-1e-6)
        parts(0.0)
        for name, gradient in found[of].items():
            slope = (above[name] - below[name]) / 2e-6
            assert (gradient @ direction).item() == pytest.approx(slope, rel=1e-4, abs=1e-7)
    assert set(found["leader"]) == set(above)


def test_norms_and_cosines_by_hand():
    norms, cosines = norms_and_cosines(
        {
            "a": torch.tensor([3.0, 4.0]),
            "b": torch.tensor([4.0, -3.0]),
            "c": torch.tensor([-6.0, -8.0]),
            "d": torch.zeros(2),
        }
    )
    assert norms == {"a": 5, "b": 5, "c": 10, "d": 0}
    assert (cosines["a", "b"], cosines["a", "c"]) == (pytest.approx(0), pytest.approx(-1))
    assert np.isnan(cosines["a", "d"])


def test_shares_of_a_run_sum_to_one_hundred_and_nothing_is_changed(peers):
    before = {name: value.clone() for name, value in peers.restored.cohort.state_dict().items()}
    random = torch.get_rng_state()
    found = gradients.compute(peers)
    assert torch.equal(random, torch.get_rng_state())
    for of in ("leader", "cohort"):
        assert list(found[of]["shares"]) == ["cross_entropy", "ensemble", "contrast"]
        assert sum(found[of]["shares"].values()) == pytest.approx(100)
        total = sum(found[of]["norms"].values())
        assert found[of]["shares"]["contrast"] == pytest.approx(100 * found[of]["norms"]["contrast"] / total)
        assert all(-1 <= cosine <= 1 for cosine in found[of]["cosines"].values())
    assert found["figures"]["leader: contrast (% of the norms)"] == found["leader"]["shares"]["contrast"]
    assert all(torch.equal(value, before[name]) for name, value in peers.restored.cohort.state_dict().items())
    assert gradients.compute(peers) == found


def test_a_single_network_learns_from_one_part_and_episodes_from_several(single, episodes):
    assert gradients.compute(single)["leader"]["shares"] == {"cross_entropy": 100}
    found = gradients.compute(episodes)["leader"]["shares"]
    assert "prototypical" in found
    assert sum(found.values()) == pytest.approx(100)


def test_without_its_teacher_a_method_has_no_gradients(peers, monkeypatch):
    def missing(cohort):
        raise UserError("the teacher runs/large does not exist")

    monkeypatch.setattr(peers.task, "method", missing)
    with pytest.raises(DoesNotApply, match="cannot be built: the teacher runs/large does not exist"):
        gradients.compute(peers)
