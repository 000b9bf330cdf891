"""ResNets for 32 x 32 images (He et al., CVPR 2016, section 4.2), with projection shortcuts."""

from collections.abc import Callable
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.backbones import initialisation, sequential
from peerdistill.backbones.backbone import Backbone
from peerdistill.backbones.convolutions import activated, normalised
from peerdistill.backbones.registry import register

_STAGES = ("stem", "layer1", "layer2", "layer3")
# Channels of each stage's output.
_BASIC = (16, 16, 32, 64)
_BOTTLENECK = (16, 64, 128, 256)
_WIDE = (32, 64, 128, 256)


class _Residual(nn.Module):
    """``relu(body(x) + shortcut(x))``; the shortcut is a 1 x 1 projection if the shape changes."""

    def __init__(self, body: nn.Sequential, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = body
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*normalised(inputs, outputs, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h2 w2"]:
        return self.relu(self.body(x) + self.shortcut(x))


def _basic(inputs: int, outputs: int, stride: int) -> _Residual:
    body = nn.Sequential(*activated(inputs, outputs, 3, stride), *normalised(outputs, outputs, 3))
    return _Residual(body, inputs, outputs, stride)


def _bottleneck(inputs: int, outputs: int, stride: int) -> _Residual:
    inner = outputs // 4
    body = nn.Sequential(
        *activated(inputs, inner, 1),
        *activated(inner, inner, 3, stride),
        *normalised(inner, outputs, 1),
    )
    return _Residual(body, inputs, outputs, stride)


def _network(
    block: Callable[[int, int, int], nn.Module], widths: tuple[int, ...], blocks: int, classes: int, in_channels: int
) -> nn.Sequential:
    stages = {_STAGES[0]: nn.Sequential(*activated(in_channels, widths[0], 3))}
    for name, inputs, outputs, stride in zip(_STAGES[1:], widths, widths[1:], (1, 2, 2), strict=False):
        stages[name] = sequential.layer(block, inputs, outputs, stride, blocks)
    return sequential.network(stages, widths[-1], classes, initialisation.RESNET)


def _backbone(name: str, block, widths: tuple[int, ...], blocks: int, classes: int, in_channels: int) -> Backbone:
    build = partial(_network, block, widths, blocks, classes, in_channels)
    return sequential.backbone(name, build, _STAGES, share_until="layer1", in_channels=in_channels)


@register
def resnet8(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 1, 1, 1, as in Tian et al., ICLR 2020: 83,540 parameters at 100 classes."""
    return _backbone("resnet8", _basic, _BASIC, 1, classes, in_channels)


@register
def resnet20(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 3, 3, 3."""
    return _backbone("resnet20", _basic, _BASIC, 3, classes, in_channels)


@register
def resnet32(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 5, 5, 5: 472,756 parameters at 100 classes."""
    return _backbone("resnet32", _basic, _BASIC, 5, classes, in_channels)


@register
def resnet56(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 9, 9, 9."""
    return _backbone("resnet56", _basic, _BASIC, 9, classes, in_channels)


@register
def resnet110(classes: int, in_channels: int) -> Backbone:
    """Bottleneck blocks 12, 12, 12: 1,170,868 parameters at 100 classes."""
    return _backbone("resnet110", _bottleneck, _BOTTLENECK, 12, classes, in_channels)


@register
def resnet8x4(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 1, 1, 1, widths as in Tian et al., ICLR 2020: 1,233,540 parameters at 100 classes."""
    return _backbone("resnet8x4", _basic, _WIDE, 1, classes, in_channels)


@register
def resnet32x4(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 5, 5, 5, widths as in Tian et al., ICLR 2020: 7,433,860 parameters at 100 classes."""
    return _backbone("resnet32x4", _basic, _WIDE, 5, classes, in_channels)
