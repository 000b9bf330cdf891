"""Half precision, float32, and temperatures at which exp(1 / tau) would overflow them."""

import pytest
import torch
from torch.nn import functional as F

from peerdistill.contrast import multi_view_nce


def wide_case(draw_case, dtype, **sizes):
    case = draw_case(**{"width": 128, "samples": 300, "negatives": 100, "batch": 6} | sizes)
    return case._replace(embeddings=case.embeddings.to(dtype), banks=case.banks.to(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("normaliser", ["anchor", "batch"])
@pytest.mark.parametrize("samples", [300, 3000], ids=["multiplicity", "gathered"])
def test_finite_at_a_low_temperature(draw_case, dtype, normaliser, samples):
    case = wide_case(draw_case, dtype, samples=samples)
    # Scores from -100 to 100: one bank has the directions of the anchors, another the opposite directions.
    directions = F.normalize(case.embeddings[0].double(), dim=-1).to(dtype)
    case.banks[1, case.indices] = directions
    case.banks[2, case.indices] = -directions
    case.embeddings.requires_grad_()
    loss = multi_view_nce(*case, temperature=0.01, normaliser=normaliser)
    loss.backward()
    assert loss.isfinite()
    assert case.embeddings.grad.dtype == dtype
    assert case.embeddings.grad.isfinite().all()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 1e-2), (torch.bfloat16, 5e-2), (torch.float32, 1e-5)], ids=str
)
@pytest.mark.parametrize("normaliser", ["anchor", "batch"])
def test_close_to_float64(draw_case, dtype, tolerance, normaliser):
    exact = wide_case(draw_case, torch.float64)
    rounded = wide_case(draw_case, dtype)
    exact.embeddings.requires_grad_()
    rounded.embeddings.requires_grad_()
    expected = multi_view_nce(*exact, temperature=0.05, normaliser=normaliser)
    loss = multi_view_nce(*rounded, temperature=0.05, normaliser=normaliser)
    assert loss.item() == pytest.approx(expected.item(), rel=tolerance)
    (slope,) = torch.autograd.grad(loss, rounded.embeddings)
    (expected_slope,) = torch.autograd.grad(expected, exact.embeddings)
    assert (slope.double() - expected_slope).norm() < tolerance * expected_slope.norm()


@pytest.mark.parametrize(
    ("dtype", "returned"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
    ids=str,
)
def test_precision_of_the_loss(draw_case, dtype, returned):
    assert multi_view_nce(*wide_case(draw_case, dtype)).dtype == returned


@pytest.mark.parametrize("samples", [300, 3000], ids=["multiplicity", "gathered"])
def test_autocast_does_not_change_it(draw_case, samples):
    case = wide_case(draw_case, torch.float32, samples=samples)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = multi_view_nce(*case)
    assert lowered.item() == multi_view_nce(*case).item()


def test_bfloat16_embeddings_with_a_float32_bank(draw_case):
    case = wide_case(draw_case, torch.float32)
    mixed = case._replace(embeddings=case.embeddings.bfloat16())
    assert multi_view_nce(*mixed).item() == pytest.approx(multi_view_nce(*case).item(), rel=1e-2)
