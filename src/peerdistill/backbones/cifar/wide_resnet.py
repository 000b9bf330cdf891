"""Wide ResNets (Zagoruyko and Komodakis, BMVC 2016) for 32 x 32 images: pre-activation basic blocks, no dropout."""

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.backbones import initialisation, sequential
from peerdistill.backbones.backbone import Backbone
from peerdistill.backbones.convolutions import convolution, preactivated
from peerdistill.backbones.registry import register

_STAGES = ("stem", "layer1", "layer2", "layer3")


class _Residual(nn.Module):
    """``body(relu(norm(x))) + shortcut``.

    The shortcut is ``x``, or a 1 x 1 projection of the activated input if the width changes.
    """

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        assert inputs != outputs or stride == 1, "a block that halves the resolution also widens"
        self.activation = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True))
        self.body = nn.Sequential(convolution(inputs, outputs, 3, stride), *preactivated(outputs, outputs, 3))
        self.shortcut = None if inputs == outputs else convolution(inputs, outputs, 1, stride)

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h2 w2"]:
        active = self.activation(x)
        return self.body(active) + (x if self.shortcut is None else self.shortcut(active))


def _network(depth: int, widening: int, classes: int, in_channels: int) -> nn.Sequential:
    widths = (16, 16 * widening, 32 * widening, 64 * widening)
    stages = {_STAGES[0]: nn.Sequential(convolution(in_channels, widths[0], 3))}
    for name, inputs, outputs, stride in zip(_STAGES[1:], widths, widths[1:], (1, 2, 2), strict=False):
        stages[name] = sequential.layer(_Residual, inputs, outputs, stride, blocks=(depth - 4) // 6)
    stages[_STAGES[-1]].extend([nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True)])
    return sequential.network(stages, widths[-1], classes, initialisation.WIDE_RESNET)


def _backbone(name: str, depth: int, widening: int, classes: int, in_channels: int) -> Backbone:
    build = partial(_network, depth, widening, classes, in_channels)
    return sequential.backbone(name, build, _STAGES, share_until="layer1", in_channels=in_channels)


@register
def wrn_40_2(classes: int, in_channels: int) -> Backbone:
    """Depth 40, widening factor 2: 2,255,156 parameters at 100 classes."""
    return _backbone("wrn_40_2", 40, 2, classes, in_channels)


@register
def wrn_16_2(classes: int, in_channels: int) -> Backbone:
    """Depth 16, widening factor 2: 703,284 parameters at 100 classes."""
    return _backbone("wrn_16_2", 16, 2, classes, in_channels)
