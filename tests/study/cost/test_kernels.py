"""Counts by hand: kernels, floating-point operations and bytes of a tiny network."""

import pytest
import torch
from torch import nn

from peerdistill.study.cost.kernels import Operation, operations


def test_both_passes_of_a_tiny_network():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(128, 5)
    ).to("meta")
    images = torch.empty(2, 3, 4, 4, device="meta")
    with operations() as found:
        network(images).sum().backward()
    # Float32: 2 x 3 x 4 x 4 images, 2 x 8 x 4 x 4 maps; weights 8 x 3 x 3 x 3 and 5 x 128.
    image, maps, kernel, matrix, bias, logits, scalar = 384, 1024, 864, 2560, 20, 40, 4
    convolution, product = 2 * (2 * 4 * 4) * (3 * 3) * 3 * 8, 2 * 2 * 128 * 5
    assert sorted(found, key=lambda one: (one.name, one.moved)) == [
        Operation("addmm", 1, product, bias + maps + matrix + logits),
        Operation("convolution", 1, convolution, image + kernel + maps),
        Operation("convolution_backward", 1, convolution, maps + image + kernel),  # of the weights only
        # The gradient of the sum is one number, expanded to all logits.
        Operation("mm", 1, product, scalar + matrix + maps),
        Operation("mm", 1, product, scalar + maps + matrix),
        Operation("ones_like", 1, 0, scalar),
        Operation("relu_", 1, 0, 2 * maps),
        Operation("sum", 1, 0, scalar + bias),  # of the bias' gradient
        Operation("sum", 1, 0, logits + scalar),
        Operation("threshold_backward", 1, 0, 3 * maps),
    ]


def test_the_gradient_of_a_convolution_takes_a_kernel_each_for_images_and_weights():
    layer = nn.Conv2d(4, 4, 1, bias=False, device="meta")
    images = torch.empty(1, 4, 8, 8, device="meta", requires_grad=True)
    out = layer(images)
    with operations() as found:
        out.backward(torch.empty_like(out))
    (backward,) = [one for one in found if one.name == "convolution_backward"]
    maps, weights = 4 * 64 * 4, 16 * 4
    assert backward == Operation("convolution_backward", 2, 2 * 2 * 64 * 16, 4 * maps + 2 * weights)


BANK, ROWS, PART = torch.zeros(1000, 8), torch.tensor([3, 1]), torch.ones(2, 8)
OF_ROWS, OF_PART = 2 * 8, 2 * 8 * 4


@pytest.mark.parametrize(
    ("call", "moved"),
    [
        pytest.param(lambda: BANK[ROWS], OF_ROWS + 2 * OF_PART, id="index"),
        pytest.param(lambda: BANK.index_select(0, ROWS), OF_ROWS + 2 * OF_PART, id="index_select"),
        pytest.param(lambda: BANK.clone().index_copy_(0, ROWS, PART), OF_ROWS + 3 * OF_PART, id="index_copy_"),
        pytest.param(lambda: PART.clone().zero_(), OF_PART, id="zero_"),
        pytest.param(lambda: torch.empty_like(PART).copy_(PART), 2 * OF_PART, id="copy_"),
        pytest.param(lambda: torch.mul(PART, PART, out=torch.empty_like(PART)), 3 * OF_PART, id="out"),
        pytest.param(lambda: PART[:1].expand(50, 8) + 1, OF_PART // 2 + 50 * 8 * 4, id="expanded"),
    ],
)
def test_bytes_are_those_that_are_touched(call, moved):
    with operations() as found:
        call()
    assert found[-1].moved == moved


def test_views_and_empty_tensors_are_no_kernels():
    with operations() as found:
        torch.empty(3, 4).view(4, 3).transpose(0, 1)[1:].detach().unsqueeze(0)
    assert found == []
