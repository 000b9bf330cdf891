"""VGG with batch normalisation and one linear layer (Simonyan and Zisserman, ICLR 2015) for 32 x 32 images.

Two versions are in use. Online distillation papers use ``vgg16`` with a 2 x 2 max pool at the end of each of five
layers, down to 1 x 1. The usual teacher and student pairs (``vgg8``, ``vgg13``) have three max pools, each at the start
of a layer, and end with global average pooling.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from peerdistill.backbones import initialisation, sequential
from peerdistill.backbones.backbone import Backbone
from peerdistill.backbones.registry import register

# Numbered from 0 as in the released code: "layer2", where the paper's branches part, has 256 channels.
_STAGES = ("layer0", "layer1", "layer2", "layer3", "layer4")
_VGG8 = ((64,), (128,), (256,), (512,), (512,))
_VGG13 = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))
_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
# Layers of vgg8 and vgg13 that start with a max pool.
_HALVING = ("layer1", "layer2", "layer3")


def _convolutions(inputs: int, widths: tuple[int, ...]) -> list[nn.Module]:
    made: list[nn.Module] = []
    for width in widths:
        made += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        inputs = width
    return made


def _pool() -> nn.MaxPool2d:
    # ceil_mode makes no difference for even sizes, and allows images smaller than 32 x 32.
    return nn.MaxPool2d(2, ceil_mode=True)


def _pooled_last(name: str, inputs: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Return a layer of winycg/MCL-OKD (``models/vgg.py``) and of DefangChen/OKDDip (``models/model_cifar/vgg.py``)."""
    del name
    return nn.Sequential(*_convolutions(inputs, widths), _pool())


def _pooled_first(name: str, inputs: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Return a layer of HobbitLong/RepDistiller (``models/vgg.py``)."""
    return nn.Sequential(*([_pool()] if name in _HALVING else []), *_convolutions(inputs, widths))


_Layer = Callable[[str, int, tuple[int, ...]], nn.Sequential]


def _network(layer: _Layer, layers: tuple[tuple[int, ...], ...], classes: int, in_channels: int) -> nn.Sequential:
    stages: dict[str, nn.Module] = {}
    inputs = in_channels
    for name, widths in zip(_STAGES, layers, strict=True):
        stages[name] = layer(name, inputs, widths)
        inputs = widths[-1]
    return sequential.network(stages, inputs, classes, initialisation.NARROW_CLASSIFIER)


def _backbone(
    name: str, layer: _Layer, layers: tuple[tuple[int, ...], ...], classes: int, in_channels: int
) -> Backbone:
    build = partial(_network, layer, layers, classes, in_channels)
    return sequential.backbone(name, build, _STAGES, share_until="layer2", in_channels=in_channels)


@register
def vgg8(classes: int, in_channels: int) -> Backbone:
    """Five convolutions, as in Tian et al., ICLR 2020: 3,965,028 parameters at 100 classes."""
    return _backbone("vgg8", _pooled_first, _VGG8, classes, in_channels)


@register
def vgg13(classes: int, in_channels: int) -> Backbone:
    """Ten convolutions, as in Tian et al., ICLR 2020: 9,462,180 parameters at 100 classes."""
    return _backbone("vgg13", _pooled_first, _VGG13, classes, in_channels)


@register
def vgg16(classes: int, in_channels: int) -> Backbone:
    """Thirteen convolutions, as in the paper: 14,774,436 parameters at 100 classes."""
    return _backbone("vgg16", _pooled_last, _VGG16, classes, in_channels)
