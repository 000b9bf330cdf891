"""DenseNet-BC (Huang et al., CVPR 2017) for 32 x 32 images."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.backbones import sequential
from peerdistill.backbones.backbone import Backbone

_STAGES = ("stem", "block1", "block2", "block3")
_BOTTLENECK = 4
_COMPRESSION = 0.5


def _activated_convolution(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    return [
        nn.BatchNorm2d(inputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
    ]


class _DenseLayer(nn.Sequential):
    """Adds ``growth`` channels to what it is given."""

    def __init__(self, inputs: int, growth: int):
        inner = _BOTTLENECK * growth
        super().__init__(*_activated_convolution(inputs, inner, 1), *_activated_convolution(inner, growth, 3))

    def forward(self, input: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h w"]:
        return torch.cat([input, super().forward(input)], dim=1)


def _block(inputs: int, growth: int, layers: int) -> tuple[nn.Sequential, int]:
    block = nn.Sequential()
    for _ in range(layers):
        block.append(_DenseLayer(inputs, growth))
        inputs += growth
    return block, inputs


def _network(growth: int, layers: int, classes: int, in_channels: int) -> nn.Sequential:
    width = 2 * growth
    stages: dict[str, nn.Module] = {"stem": nn.Conv2d(in_channels, width, 3, padding=1, bias=False)}
    for name in _STAGES[1:]:
        block, width = _block(width, growth, layers)
        if name == _STAGES[-1]:
            block.extend([nn.BatchNorm2d(width), nn.ReLU(inplace=True)])
        else:
            # A block owns the transition after it: that is where the paper's branches part.
            compressed = int(_COMPRESSION * width)
            block.extend([*_activated_convolution(width, compressed, 1), nn.AvgPool2d(2)])
            width = compressed
        stages[name] = block
    return sequential.network(stages, width, classes)


def densenet40_12(classes: int, in_channels: int) -> Backbone:
    """Depth 40, growth 12, bottleneck and compression 0.5: 188,092 parameters at 100 classes."""
    build = partial(_network, 12, (40 - 4) // 6, classes, in_channels)
    return sequential.backbone("densenet40_12", build, _STAGES, share_until="block1", in_channels=in_channels)
