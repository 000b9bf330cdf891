"""The two orders of convolution, batch normalisation and activation that the CIFAR families are made of."""

from torch import nn


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size of what it reads, up to the stride."""
    padding = kernel // 2 * dilation
    return nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=False
    )


def normalised(inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> list[nn.Module]:
    """Return a convolution and the normalisation of its output."""
    return [convolution(inputs, outputs, kernel, stride, groups=groups), nn.BatchNorm2d(outputs)]


def activated(inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> list[nn.Module]:
    """Return a convolution, the normalisation of its output and a ReLU."""
    return [*normalised(inputs, outputs, kernel, stride, groups=groups), nn.ReLU(inplace=True)]


def preactivated(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """Return the normalisation of the input, a ReLU and a convolution; the input itself is left as it is."""
    return [
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        convolution(inputs, outputs, kernel, stride, groups=groups, dilation=dilation),
    ]
