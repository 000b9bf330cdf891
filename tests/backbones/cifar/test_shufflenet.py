import torch
from torch.nn import functional as F


def grouped(tensors, x, groups):
    """A grouped 1 x 1 convolution, written as one convolution per group, then normalisation."""
    weights = tensors.take().chunk(groups)
    made = [F.conv2d(part, weight) for part, weight in zip(x.chunk(groups, dim=1), weights, strict=True)]
    return tensors.normalisation(torch.cat(made, dim=1))


def shuffled(x, groups):
    """The first channel of every group, then the second of every group, and so on."""
    size = x.shape[1] // groups
    return x[:, [group * size + place for place in range(size) for group in range(groups)]]


def unit(tensors, x, stride):
    groups = 1 if x.shape[1] == 24 else 3
    made = shuffled(grouped(tensors, x, groups).clamp(min=0), groups)
    made = tensors.activated(made, stride=stride, padding=1, groups=made.shape[1])
    made = grouped(tensors, made, 3)
    if stride == 2:
        return torch.cat([made, F.avg_pool2d(x, 3, stride=2, padding=1)], dim=1).clamp(min=0)
    return (made + x).clamp(min=0)


def feature_maps(tensors, images):
    x = tensors.activated(images)
    for units, width in ((4, 240), (8, 480), (4, 960)):
        for number in range(units):
            x = unit(tensors, x, 1 if number else 2)
            assert x.shape[1] == width
    return x


def test_the_forward_pass_agrees_with_the_formula(agrees):
    agrees("shufflenetv1", feature_maps)
