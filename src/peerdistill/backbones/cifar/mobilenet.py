"""MobileNetV2 (Sandler et al., CVPR 2018) for 32 x 32 images, as in the tables of Tian et al., ICLR 2020.

Differences from the network for large images: it halves the resolution four times, not five; it uses ReLU instead of
ReLU6; its first block also has an expansion convolution, with factor 1.
"""

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.backbones import initialisation, sequential
from peerdistill.backbones.backbone import Backbone
from peerdistill.backbones.convolutions import activated, normalised
from peerdistill.backbones.registry import register

# Expansion, channels at width multiplier 1, blocks and stride of each row, grouped by resolution.
_LAYERS = {
    "layer1": ((1, 16, 1, 1), (6, 24, 2, 1)),
    "layer2": ((6, 32, 3, 2),),
    "layer3": ((6, 64, 4, 2), (6, 96, 3, 1)),
    "layer4": ((6, 160, 3, 2), (6, 320, 1, 1)),
}
_STAGES = ("stem", *_LAYERS)
_STEM = 32
# The width multiplier does not narrow the last convolution.
_HEAD = 1280


class _Residual(nn.Sequential):
    def forward(self, input: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
        return input + super().forward(input)


def _block(inputs: int, outputs: int, stride: int, expansion: int) -> nn.Sequential:
    """Return an inverted residual block with linear output. It adds its input unless the shape changes."""
    inner = expansion * inputs
    kind = _Residual if stride == 1 and inputs == outputs else nn.Sequential
    return kind(
        *activated(inputs, inner, 1),
        *activated(inner, inner, 3, stride, groups=inner),
        *normalised(inner, outputs, 1),
    )


def _network(multiplier: float, classes: int, in_channels: int) -> nn.Sequential:
    width = int(multiplier * _STEM)
    stages = {_STAGES[0]: nn.Sequential(*activated(in_channels, width, 3, stride=2))}
    for name, rows in _LAYERS.items():
        layer = nn.Sequential()
        for expansion, channels, blocks, stride in rows:
            outputs = int(multiplier * channels)
            layer.append(sequential.layer(partial(_block, expansion=expansion), width, outputs, stride, blocks))
            width = outputs
        stages[name] = layer
    stages[_STAGES[-1]].extend(activated(width, _HEAD, 1))
    return sequential.network(stages, _HEAD, classes, initialisation.NARROW_CLASSIFIER)


@register
def mobilenetv2_half(classes: int, in_channels: int) -> Backbone:
    """Width multiplier 0.5, expansion 6: 812,836 parameters at 100 classes.

    Branches part after the last 8 x 8 feature map, at a third of the forward cost, as in a ResNet.
    """
    build = partial(_network, 0.5, classes, in_channels)
    return sequential.backbone("mobilenetv2_half", build, _STAGES, share_until="layer2", in_channels=in_channels)
