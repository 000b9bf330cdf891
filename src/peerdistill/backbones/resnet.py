"""ResNets for 32 x 32 images (He et al., CVPR 2016, section 4.2), with projection shortcuts."""

from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.backbones import sequential
from peerdistill.backbones.backbone import Backbone

_STAGES = ("stem", "layer1", "layer2", "layer3")
_WIDTHS = (16, 32, 64)


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    padding = kernel // 2
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class _Residual(nn.Module):
    """``relu(body(x) + shortcut(x))``; the shortcut is a 1 x 1 projection where the shape changes."""

    def __init__(self, body: nn.Sequential, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.body = body
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else nn.Sequential(*_convolution(inputs, outputs, 1, stride))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "batch inputs h w"]) -> Float[Tensor, "batch outputs h2 w2"]:
        return self.relu(self.body(x) + self.shortcut(x))


def _basic(inputs: int, width: int, stride: int) -> _Residual:
    body = nn.Sequential(
        *_convolution(inputs, width, 3, stride),
        nn.ReLU(inplace=True),
        *_convolution(width, width, 3),
    )
    return _Residual(body, inputs, width, stride)


def _bottleneck(inputs: int, width: int, stride: int) -> _Residual:
    body = nn.Sequential(
        *_convolution(inputs, width, 1),
        nn.ReLU(inplace=True),
        *_convolution(width, width, 3, stride),
        nn.ReLU(inplace=True),
        *_convolution(width, 4 * width, 1),
    )
    return _Residual(body, inputs, 4 * width, stride)


def _network(block, expansion: int, blocks: int, classes: int, in_channels: int) -> nn.Sequential:
    stages: dict[str, nn.Module] = {
        "stem": nn.Sequential(*_convolution(in_channels, _WIDTHS[0], 3), nn.ReLU(inplace=True))
    }
    inputs = _WIDTHS[0]
    for number, width in enumerate(_WIDTHS, start=1):
        strides = [1 if number == 1 else 2] + [1] * (blocks - 1)
        layer = nn.Sequential()
        for stride in strides:
            layer.append(block(inputs, width, stride))
            inputs = expansion * width
        stages[f"layer{number}"] = layer
    return sequential.network(stages, inputs, classes)


def _backbone(name: str, block, expansion: int, blocks: int, classes: int, in_channels: int) -> Backbone:
    build = partial(_network, block, expansion, blocks, classes, in_channels)
    return sequential.backbone(name, build, _STAGES, share_until="layer1", in_channels=in_channels)


def resnet20(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 3, 3, 3."""
    return _backbone("resnet20", _basic, 1, 3, classes, in_channels)


def resnet32(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 5, 5, 5: 472,756 parameters at 100 classes."""
    return _backbone("resnet32", _basic, 1, 5, classes, in_channels)


def resnet56(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 9, 9, 9."""
    return _backbone("resnet56", _basic, 1, 9, classes, in_channels)


def resnet110(classes: int, in_channels: int) -> Backbone:
    """Bottleneck blocks 12, 12, 12: 1,170,868 parameters at 100 classes."""
    return _backbone("resnet110", _bottleneck, 4, 12, classes, in_channels)
