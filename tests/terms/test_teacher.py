import pytest
import torch
import torch.nn.functional as F
from torch import nn

from peerdistill import Cohort
from peerdistill.errors import UserError
from peerdistill.terms import Batch, CrossEntropy, Method, Teacher, TeacherToLeader, Weighted


@pytest.fixture
def with_teacher(out):
    """Output of a cohort with the output of a teacher."""
    torch.manual_seed(1)
    logits = torch.randn(1, 4, 5, dtype=torch.float64).requires_grad_()
    features = torch.randn(1, 4, 7, dtype=torch.float64).requires_grad_()
    output = out._replace(logits=logits, features=features, ensemble=logits[0])
    return out._replace(teacher=output)


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return Teacher(Cohort("resnet20", classes=5, peers=1, sharing="network"))


@pytest.mark.parametrize("T", [1.0, 4.0])
def test_is_the_divergence_of_the_leader_from_the_teacher(with_teacher, labels, indices, divergence, T):
    expected = divergence(with_teacher.teacher.logits[0], with_teacher.logits[-1], T)
    assert TeacherToLeader(T)(with_teacher, Batch(labels, indices)).item() == pytest.approx(expected, rel=1e-10)


def test_only_the_leader_learns(with_teacher, labels, indices):
    TeacherToLeader()(with_teacher, Batch(labels, indices)).backward()
    assert with_teacher.logits.grad[-1].any()
    assert not with_teacher.logits.grad[:-1].any()
    assert with_teacher.teacher.logits.grad is None


def test_loss_is_zero_if_teacher_and_student_agree(out, labels, indices):
    equal = out._replace(teacher=out)
    loss = TeacherToLeader()(equal, Batch(labels, indices))
    assert loss.item() == pytest.approx(0, abs=1e-12)
    loss.backward()
    assert out.logits.grad.abs().max() < 1e-12


def test_temperature_must_be_above_zero():
    with pytest.raises(UserError, match=r"temperature must be above 0, found 0\.0"):
        TeacherToLeader(0.0)


def test_teacher_stays_in_evaluation_mode_without_gradient(teacher):
    images = torch.randn(2, 3, 8, 8, requires_grad=True)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    teacher.train()
    assert not any(module.training for module in teacher.modules())
    output = teacher(images)
    assert not output.logits.requires_grad
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_teacher_gets_images_in_its_own_normalisation(teacher):
    """Scale and shift convert from one mean and standard deviation to another."""
    pixels = torch.rand(2, 3, 8, 8)
    (mean, std), (own_mean, own_std) = (0.5, 0.25), (0.4, 0.2)
    other = Teacher(teacher.cohort, scale=[std / own_std] * 3, shift=[(mean - own_mean) / own_std] * 3)
    found = other((pixels - mean) / std).logits
    torch.testing.assert_close(found, teacher((pixels - own_mean) / own_std).logits, rtol=1e-4, atol=1e-4)


def test_teacher_gets_images_of_its_own_size(teacher):
    images = torch.randn(2, 3, 24, 24)
    larger = Teacher(teacher.cohort, size=32)
    resized = F.interpolate(images, (32, 32), mode="bilinear", antialias=True)
    assert torch.equal(larger(images).logits, teacher(resized).logits)
    assert torch.equal(larger(resized).logits, teacher(resized).logits)


def test_several_peers_teach_as_their_mean_or_as_their_own_ensemble():
    cohort = Cohort("resnet20", classes=5, peers=3).eval()
    images = torch.randn(2, 3, 8, 8)
    out = cohort(images)
    torch.testing.assert_close(Teacher(cohort)(images).logits, out.logits.mean(0, keepdim=True).detach())

    class First(nn.Module):
        def forward(self, out):
            return out.logits[0]

    torch.testing.assert_close(Teacher(cohort, ensemble=First())(images).logits, out.logits[:1].detach())


def test_runs_once_per_batch_and_is_not_in_the_state_dict(teacher):
    seen = []
    teacher.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    cohort = Cohort("resnet20", classes=5, peers=2)
    terms = [Weighted(name, 1.0, TeacherToLeader()) for name in ("first", "second")]
    method = Method([Weighted("labels", 1.0, CrossEntropy()), *terms], teacher=teacher)
    images = torch.randn(4, 3, 8, 8)
    method(cohort(images), torch.tensor([0, 1, 2, 3]), torch.arange(4)).total.backward()
    assert len(seen) == 1
    assert seen[0] is images
    assert not method.state_dict()
    assert list(method.parameters()) == []
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert isinstance(method.teacher, nn.Module)
