"""DenseNet-BC (Huang et al., CVPR 2017) for 32 x 32 images, and the structure that dense networks share."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.backbones import sequential
from peerdistill.backbones.backbone import Backbone
from peerdistill.backbones.convolutions import convolution, preactivated
from peerdistill.backbones.initialisation import DENSENET, Initialisation
from peerdistill.backbones.registry import register

STAGES = ("stem", "block1", "block2", "block3")
_BOTTLENECK = 4
# Input channels of a transition divided by its output channels.
_COMPRESSION = 2


class _Dense(nn.Sequential):
    """Appends the output of its modules to the input, along the channels."""

    def forward(self, input: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h w"]:
        return torch.cat([input, super().forward(input)], dim=1)


def network(
    layer: Callable[[int, int], list[nn.Module]],
    transition: Callable[[int, int], list[nn.Module]],
    growths: tuple[int, int, int],
    layers: int,
    classes: int,
    in_channels: int,
    initialisation: Initialisation,
) -> nn.Sequential:
    """Return a stem and three blocks of densely connected layers with transitions between them.

    Args:
        layer: Makes a layer from its input channels and its growth, the number of channels that it adds.
        transition: Makes a transition from its input and output channels. It halves the resolution.
        growths: Growth of each block. The stem has twice as many channels as the first growth.
        layers: Layers per block.
        classes: Output width of the classifier.
        in_channels: Channels of the images.
        initialisation: Initial weights.
    """
    width = 2 * growths[0]
    stages: dict[str, nn.Module] = {STAGES[0]: convolution(in_channels, width, 3)}
    for name, growth in zip(STAGES[1:], growths, strict=True):
        block = nn.Sequential()
        for _ in range(layers):
            block.append(_Dense(*layer(width, growth)))
            width += growth
        if name == STAGES[-1]:
            block.extend([nn.BatchNorm2d(width), nn.ReLU(inplace=True)])
        else:
            # The transition belongs to the block before it: the paper's branches part after the transition.
            block.extend(transition(width, width // _COMPRESSION))
            width //= _COMPRESSION
        stages[name] = block
    return sequential.network(stages, width, classes, initialisation)


def _layer(inputs: int, growth: int) -> list[nn.Module]:
    inner = _BOTTLENECK * growth
    return [*preactivated(inputs, inner, 1), *preactivated(inner, growth, 3)]


def _transition(inputs: int, outputs: int) -> list[nn.Module]:
    return [*preactivated(inputs, outputs, 1), nn.AvgPool2d(2)]


@register
def densenet40_12(classes: int, in_channels: int) -> Backbone:
    """Depth 40, growth 12, bottleneck and compression 0.5: 188,092 parameters at 100 classes."""
    build = partial(network, _layer, _transition, (12, 12, 12), (40 - 4) // 6, classes, in_channels, DENSENET)
    return sequential.backbone("densenet40_12", build, STAGES, share_until="block1", in_channels=in_channels)
