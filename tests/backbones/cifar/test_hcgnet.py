import torch

from peerdistill import backbones


def context(tensors, x):
    """Mean of ``x`` (B, C, H, W) over positions, weighted by the softmax of a linear score."""
    weight, bias = tensors.take(), tensors.take()
    scores = (torch.einsum("bchw,c->bhw", x, weight[0]) + bias).exp()
    return torch.einsum("bchw,bhw->bc", x, scores / scores.sum((1, 2), keepdim=True))


def gate(tensors, x):
    return tensors.linear(tensors.normalisation(tensors.linear(x)).tanh())


def gated(tensors, x):
    """Forget gate times ``x``, plus the contexts of two scales, averaged with weights per channel."""
    channels = x.shape[1]
    forget = 1 / (1 + (-gate(tensors, context(tensors, x))).exp())
    near = context(tensors, tensors.preactivated(x, padding=1, groups=channels))
    far = context(tensors, tensors.preactivated(x, padding=2, dilation=2, groups=channels))
    weights = gate(tensors, torch.cat([near, far], dim=1)).exp()
    for_near, for_far = weights[:, :channels], weights[:, channels:]
    update = (for_near * near + for_far * far) / (for_near + for_far)
    return forget[:, :, None, None] * x + update[:, :, None, None]


def feature_maps(tensors, images):
    x = tensors.convolution(images, padding=1)
    for block in range(3):
        for _ in range(8):
            squeezed = tensors.preactivated(tensors.preactivated(x), padding=1, groups=4)
            x = torch.cat([x, gated(tensors, squeezed)], dim=1)
        if block < 2:
            x = gated(tensors, tensors.preactivated(tensors.preactivated(x), padding=1, stride=2))
    return tensors.normalisation(x).clamp(min=0)


def test_the_forward_pass_agrees_with_the_formula(agrees):
    agrees("hcgnet_a1", feature_maps)


def test_images_need_not_be_square():
    network = backbones.build("hcgnet_a1", classes=5).network().eval()
    with torch.no_grad():
        assert network(torch.randn(2, 3, 20, 32)).shape == (2, 5)


def test_widths_of_the_stages():
    backbone = backbones.build("hcgnet_a1", classes=100)
    x = torch.zeros(1, 3, 32, 32, device="meta")
    network = backbone.network().to("meta").eval()
    shapes = []
    for stage in backbone.stages:
        x = stage(network, x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(24, 32, 32), (60, 16, 16), (126, 8, 8), (414,)]
