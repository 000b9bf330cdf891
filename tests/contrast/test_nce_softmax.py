"""The softmax objective (eq. 8) against cross-entropy, closed forms and finite differences."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from peerdistill.contrast import multi_view_nce

LABELS = torch.arange(40) % 4


@pytest.mark.parametrize("temperature", [0.003, 0.01, 0.1, 1.0])
def test_is_cross_entropy_with_the_positive_as_the_class(draw_case, temperature):
    case = draw_case(peers=4, negatives=30)
    unit = F.normalize(case.embeddings, dim=-1)
    columns = torch.cat([case.indices[:, None], case.negatives], dim=1)
    expected = sum(
        F.cross_entropy((case.banks[b][columns] @ unit[a, :, :, None])[..., 0] / temperature, torch.zeros(5).long())
        for a in range(4)
        for b in range(4)
        if a != b
    )
    loss = multi_view_nce(*case, objective="softmax", temperature=temperature)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)


@pytest.mark.parametrize("negatives", ["own", "shared", "all"])
def test_gradcheck(draw_case, negatives):
    case = draw_case(batch=3, width=4)
    chosen = {"own": case.negatives, "shared": case.negatives[0], "all": "all"}[negatives]
    x = case.embeddings.clone().requires_grad_()

    def loss(x):
        return multi_view_nce(x, *case[1:3], chosen, labels=LABELS, temperature=0.3, objective="softmax")

    assert gradcheck(loss, x)


def test_equal_vectors(draw_case):
    """Of 1 + S equal scores, each has probability 1 / (1 + S)."""
    case = draw_case(peers=3)
    same = F.normalize(torch.arange(1.0, 7.0, dtype=torch.float64), dim=0)
    equal = (same.expand_as(case.embeddings), same.expand_as(case.banks), case.indices)
    loss = multi_view_nce(*equal, "all", labels=LABELS, objective="softmax")
    assert loss.item() == pytest.approx(6 * math.log(1 + 30), rel=1e-12)


def test_normaliser_does_not_matter(draw_case):
    case = draw_case()
    losses = {multi_view_nce(*case, objective="softmax", normaliser=name).item() for name in ("anchor", "batch")}
    assert len(losses) == 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_finite_at_the_lowest_temperature(draw_case, dtype):
    case = draw_case(width=64, samples=40)
    case = case._replace(embeddings=case.embeddings.to(dtype), banks=case.banks.to(dtype))
    case.banks[1, case.indices] = F.normalize(case.embeddings[0], dim=-1)
    case.banks[2, case.indices] = -F.normalize(case.embeddings[0], dim=-1)
    x = case.embeddings.requires_grad_()
    loss = multi_view_nce(*case[:3], "all", labels=LABELS, objective="softmax", temperature=0.003)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert x.grad.isfinite().all()
