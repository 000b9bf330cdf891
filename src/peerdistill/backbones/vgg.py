"""VGG with batch normalisation and one linear layer (Simonyan and Zisserman, ICLR 2015) for 32 x 32 images."""

from functools import partial

from torch import nn

from peerdistill.backbones import sequential
from peerdistill.backbones.backbone import Backbone

# Counted from 0: the paper's share point "layer2" is the end of the 256-channel convolutions.
_STAGES = ("layer0", "layer1", "layer2", "layer3", "layer4")
_VGG8 = ((64,), (128,), (256,), (512,), (512,))
_VGG13 = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def _layer(inputs: int, widths: tuple[int, ...], halve: bool) -> nn.Sequential:
    # ceil_mode changes nothing for even sizes and lets images below 16 x 16 through.
    layer = nn.Sequential(*([nn.MaxPool2d(2, ceil_mode=True)] if halve else []))
    for width in widths:
        layer.extend([nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)])
        inputs = width
    return layer


def _network(layers: tuple[tuple[int, ...], ...], halvings: int, classes: int, in_channels: int) -> nn.Sequential:
    stages: dict[str, nn.Module] = {}
    inputs = in_channels
    for number, (name, widths) in enumerate(zip(_STAGES, layers, strict=True)):
        stages[name] = _layer(inputs, widths, halve=0 < number <= halvings)
        inputs = widths[-1]
    return sequential.network(stages, inputs, classes)


def _backbone(
    name: str, layers: tuple[tuple[int, ...], ...], halvings: int, classes: int, in_channels: int
) -> Backbone:
    build = partial(_network, layers, halvings, classes, in_channels)
    return sequential.backbone(name, build, _STAGES, share_until="layer2", in_channels=in_channels)


def vgg8(classes: int, in_channels: int) -> Backbone:
    """Five convolutions, three halvings as in Tian et al., ICLR 2020: 3,965,028 parameters at 100 classes."""
    return _backbone("vgg8", _VGG8, 3, classes, in_channels)


def vgg13(classes: int, in_channels: int) -> Backbone:
    """Ten convolutions, three halvings as in Tian et al., ICLR 2020: 9,462,180 parameters at 100 classes."""
    return _backbone("vgg13", _VGG13, 3, classes, in_channels)


def vgg16(classes: int, in_channels: int) -> Backbone:
    """Thirteen convolutions, four halvings: 14,774,436 parameters at 100 classes."""
    return _backbone("vgg16", _VGG16, 4, classes, in_channels)
