"""VGG with batch normalisation and one linear layer (Simonyan and Zisserman, ICLR 2015) for 32 x 32 images."""

from functools import partial

from torch import nn

from peerdistill.backbones import sequential
from peerdistill.backbones.backbone import Backbone

# Counted from 0: the paper's share point "layer2" is the end of the 256-channel convolutions.
_STAGES = ("layer0", "layer1", "layer2", "layer3", "layer4")
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def _layer(inputs: int, widths: tuple[int, ...], halve: bool) -> nn.Sequential:
    # ceil_mode changes nothing for even sizes and lets images below 16 x 16 through.
    layer = nn.Sequential(*([nn.MaxPool2d(2, ceil_mode=True)] if halve else []))
    for width in widths:
        layer.extend([nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)])
        inputs = width
    return layer


def _network(layers: tuple[tuple[int, ...], ...], classes: int, in_channels: int) -> nn.Sequential:
    stages: dict[str, nn.Module] = {}
    inputs = in_channels
    for name, widths in zip(_STAGES, layers, strict=True):
        stages[name] = _layer(inputs, widths, halve=bool(stages))
        inputs = widths[-1]
    return sequential.network(stages, inputs, classes)


def vgg16(classes: int, in_channels: int) -> Backbone:
    """Thirteen convolutions: 14,774,436 parameters at 100 classes."""
    build = partial(_network, _VGG16, classes, in_channels)
    return sequential.backbone("vgg16", build, _STAGES, share_until="layer2", in_channels=in_channels)
