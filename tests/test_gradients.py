import torch

from peerdistill.gradients import divided_gradient, with_own_gradient


def test_the_gradient_that_is_brought_along_is_used():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    value = with_own_gradient(lambda x: (x.sum(), torch.tensor([5.0, -7.0])), x)
    (3 * value).backward()
    assert value.item() == 3
    assert x.grad.tolist() == [15, -21]


def test_divided_gradient():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    same = divided_gradient(x, 4)
    (same * torch.tensor([8.0, 2.0])).sum().backward()
    assert same.tolist() == [1, 2]
    assert x.grad.tolist() == [2, 0.5]
