"""Relations between samples against loops over pairs and triplets."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.terms import Batch, TeacherRelation, angle_loss, distance_loss


def naive_distances(features):
    rows = len(features)
    found = [[(features[i] - features[j]).norm().item() for j in range(rows)] for i in range(rows)]
    apart = [d for row in found for d in row if d > 0]
    return torch.tensor(found, dtype=torch.float64) / (sum(apart) / len(apart))


def naive_angles(features):
    rows = len(features)
    found = torch.zeros(rows, rows, rows, dtype=torch.float64)
    for j, i, k in itertools.product(range(rows), repeat=3):
        a, b = features[i] - features[j], features[k] - features[j]
        if a.norm() > 0 and b.norm() > 0:
            found[j, i, k] = (a @ b) / (a.norm() * b.norm())
    return found


def mean_huber(found, aim):
    difference = (found - aim).abs()
    return torch.where(difference < 1, 0.5 * difference**2, difference - 0.5).mean().item()


NAIVE = [(distance_loss, naive_distances), (angle_loss, naive_angles)]
LOSSES = [distance_loss, angle_loss]


@pytest.mark.parametrize(("loss", "naive"), NAIVE)
@given(seed=st.integers(0, 2**31), rows=st.integers(2, 7), width=st.integers(1, 5), teacher_width=st.integers(1, 5))
def test_loss_is_the_loop(loss, naive, seed, rows, width, teacher_width):
    """With features of width 1 the cosines are 1 and -1, so the linear part of the Huber loss is tested, too."""
    draws = torch.Generator().manual_seed(seed)
    student = torch.randn(rows, width, dtype=torch.float64, generator=draws)
    teacher = torch.randn(rows, teacher_width, dtype=torch.float64, generator=draws)
    expected = mean_huber(naive(student), naive(teacher))
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_many_blocks_give_the_same_loss():
    """With more samples than fit into a block, against all cosines at once and autograd."""
    student = torch.randn(100, 8, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(100, 6, dtype=torch.float64)

    def cube(features):
        difference = features[None] - features[:, None]
        own = torch.eye(len(features), dtype=torch.bool)[..., None]
        unit = torch.nn.functional.normalize(difference.masked_fill(own, 1), dim=-1).masked_fill(own, 0)
        return torch.einsum("jid,jkd->jik", unit, unit)

    expected = torch.nn.functional.smooth_l1_loss(cube(student), cube(teacher))
    (slope,) = torch.autograd.grad(expected, student)
    found = angle_loss(student, teacher)
    (own_slope,) = torch.autograd.grad(found, student)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(own_slope, slope, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(("loss", "naive"), NAIVE)
def test_term_is_the_loss_of_the_leader(out, labels, indices, loss, naive):
    teacher = out._replace(features=torch.randn(1, 4, 9, dtype=torch.float64))
    expected = mean_huber(naive(out.features[-1].detach()), naive(teacher.features[-1]))
    found = TeacherRelation(loss)(out._replace(teacher=teacher), Batch(labels, indices))
    assert found.item() == pytest.approx(expected, rel=1e-10)
    found.backward()
    assert out.features.grad[-1].any()
    assert not out.features.grad[:-1].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_features_are_compared_in_float32(out, labels, indices, loss):
    halved = out._replace(features=out.features.detach().bfloat16())
    teacher = out._replace(features=torch.randn(1, 4, 9).bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = TeacherRelation(loss)(halved._replace(teacher=teacher), Batch(labels, indices))
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found, loss(halved.features[-1].float(), teacher.features[-1].float()), rtol=1e-6, atol=0
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_a_finite_difference(loss):
    student = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda features: loss(features, teacher), (student,))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("equal", [2, 4])
def test_equal_features_give_a_finite_gradient(loss, equal):
    """Two samples, or all of them, have the same features."""
    features = torch.randn(4, 3)
    features[:equal] = features[0]
    features.requires_grad_()
    found = loss(features, torch.randn(4, 3))
    assert found.isfinite()
    found.backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_scale_and_shift_of_features_do_not_matter(loss):
    features, teacher = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(loss(7 * features + 2, teacher), loss(features, teacher))
    torch.testing.assert_close(
        loss(features, features / 3 - 1), torch.zeros((), dtype=torch.float64), atol=1e-14, rtol=0
    )
