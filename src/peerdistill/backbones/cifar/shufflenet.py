"""ShuffleNet (Zhang et al., CVPR 2018) for 32 x 32 images, as in the tables of Tian et al., ICLR 2020.

Differences from the network for large images: the stem is a 1 x 1 convolution that keeps the resolution, and a ReLU
also follows each depthwise convolution.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.backbones import initialisation, sequential
from peerdistill.backbones.backbone import Backbone
from peerdistill.backbones.convolutions import activated, normalised
from peerdistill.backbones.registry import register

_STAGES = ("stem", "layer1", "layer2", "layer3")
_WIDTHS = (24, 240, 480, 960)
_BLOCKS = (4, 8, 4)
_GROUPS = 3


class _Unit(nn.Module):
    """Grouped 1 x 1, shuffle, depthwise 3 x 3, grouped 1 x 1 convolution with a shortcut.

    The shortcut adds the input, or concatenates the pooled input if the stride is 2.
    """

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.halves = stride == 2
        made = outputs - inputs if self.halves else outputs
        inner = made // 4
        # The stem's 24 channels are too few for several groups.
        groups = 1 if inputs == _WIDTHS[0] else _GROUPS
        self.body = nn.Sequential(
            *activated(inputs, inner, 1, groups=groups),
            nn.ChannelShuffle(groups),
            *activated(inner, inner, 3, stride, groups=inner),
            *normalised(inner, made, 1, groups=_GROUPS),
        )
        self.shortcut = nn.AvgPool2d(3, stride=2, padding=1) if self.halves else nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h2 w2"]:
        made, kept = self.body(x), self.shortcut(x)
        return self.relu(torch.cat([made, kept], dim=1) if self.halves else made + kept)


def _network(classes: int, in_channels: int) -> nn.Sequential:
    stages = {_STAGES[0]: nn.Sequential(*activated(in_channels, _WIDTHS[0], 1))}
    for name, inputs, outputs, blocks in zip(_STAGES[1:], _WIDTHS, _WIDTHS[1:], _BLOCKS, strict=False):
        stages[name] = sequential.layer(_Unit, inputs, outputs, 2, blocks)
    return sequential.network(stages, _WIDTHS[-1], classes, initialisation.PYTORCH)


@register
def shufflenetv1(classes: int, in_channels: int) -> Backbone:
    """Three groups, 4, 8 and 4 units: 949,258 parameters at 100 classes.

    Branches part after the last 16 x 16 feature map, at a quarter of the forward cost.
    """
    build = partial(_network, classes, in_channels)
    return sequential.backbone("shufflenetv1", build, _STAGES, share_until="layer1", in_channels=in_channels)
