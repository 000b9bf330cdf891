import pytest
import torch

from peerdistill.numerics import divide_gradient, min_float32, upcast, with_custom_gradient


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_upcast_returns_at_least_float32(given, kept):
    x = torch.tensor([0.5, -2.0], dtype=given)
    assert min_float32(given) == kept
    assert torch.equal(upcast(x), torch.tensor([0.5, -2.0], dtype=kept))


def test_upcast_does_not_copy_float32():
    x = torch.tensor([0.5, -2.0])
    assert upcast(x) is x


def test_with_custom_gradient_uses_the_given_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    value = with_custom_gradient(lambda x: (x.sum(), torch.tensor([5.0, -7.0])), x)
    (3 * value).backward()
    assert value.item() == 3
    assert x.grad.tolist() == [15, -21]


def test_divide_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    same = divide_gradient(x, 4)
    (same * torch.tensor([8.0, 2.0])).sum().backward()
    assert same.tolist() == [1, 2]
    assert x.grad.tolist() == [2, 0.5]
