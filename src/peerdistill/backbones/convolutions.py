"""Sequences of convolution, batch normalisation and ReLU that the CIFAR families are built from."""

from torch import nn


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """Return a convolution without bias, padded so that the output is smaller than the input only by the stride."""
    padding = kernel // 2 * dilation
    return nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=False
    )


def normalised(inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> list[nn.Module]:
    """Return convolution and batch normalisation."""
    return [convolution(inputs, outputs, kernel, stride, groups=groups), nn.BatchNorm2d(outputs)]


def activated(inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1) -> list[nn.Module]:
    """Return convolution, batch normalisation and ReLU."""
    return [*normalised(inputs, outputs, kernel, stride, groups=groups), nn.ReLU(inplace=True)]


def preactivated(
    inputs: int, outputs: int, kernel: int, stride: int = 1, *, groups: int = 1, dilation: int = 1
) -> list[nn.Module]:
    """Return batch normalisation, ReLU and convolution. The input tensor is not modified in place."""
    return [
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        convolution(inputs, outputs, kernel, stride, groups=groups, dilation=dilation),
    ]
