"""Relations between samples against loops over pairs and triplets."""

import itertools

import pytest
import torch

from peerdistill.terms import TeacherRelation, angles, relative_distances


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


NAIVE = [(relative_distances, naive_distances), (angles, naive_angles)]


@pytest.mark.parametrize(("relation", "naive"), NAIVE)
def test_relation_is_the_loop(relation, naive):
    features = torch.randn(6, 5, dtype=torch.float64)
    torch.testing.assert_close(relation(features), naive(features), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("relation", "naive"), NAIVE)
def test_term_is_the_mean_huber_loss(out, labels, indices, relation, naive):
    teacher = out._replace(features=torch.randn(1, 4, 9, dtype=torch.float64))
    student_of, teacher_of = naive(out.features[-1].detach()), naive(teacher.features[-1])
    difference = (student_of - teacher_of).abs()
    expected = torch.where(difference < 1, 0.5 * difference**2, difference - 0.5).mean()
    loss = TeacherRelation(relation)(out._replace(teacher=teacher), labels, indices)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-10)
    loss.backward()
    assert out.features.grad[-1].any()
    assert not out.features.grad[:-1].any()


@pytest.mark.parametrize("relation", [relative_distances, angles])
def test_gradient_is_a_finite_difference(relation):
    features = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(relation, (features,))


@pytest.mark.parametrize("relation", [relative_distances, angles])
@pytest.mark.parametrize("equal", [2, 4])
def test_coinciding_points_are_safe(relation, equal):
    """Two of the points, or all of them, are the same."""
    features = torch.randn(4, 3)
    features[:equal] = features[0]
    features.requires_grad_()
    found = relation(features)
    assert found.isfinite().all()
    found.sum().backward()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("relation", [relative_distances, angles])
def test_scale_and_place_do_not_matter(relation):
    features = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(relation(7 * features + 2), relation(features))
