"""The four-block convolutional encoder of few-shot learning (Vinyals et al., NIPS 2016; Snell et al., NIPS 2017)."""

from collections import OrderedDict
from functools import partial

from torch import nn

from peerdistill.backbones.backbone import Backbone, Stage
from peerdistill.backbones.registry import register
from peerdistill.errors import UserError

_BLOCKS = ("block1", "block2", "block3", "block4")
_SMALLEST = 2 ** len(_BLOCKS)
_CLASSIFIER = "fc"


def _block(inputs: int, filters: int) -> nn.Sequential:
    # The published blocks apply ReLU before pooling. The maximum is the same in both orders, and this order applies
    # ReLU to a quarter of the values.
    return nn.Sequential(
        nn.Conv2d(inputs, filters, 3, padding=1), nn.BatchNorm2d(filters), nn.MaxPool2d(2), nn.ReLU(inplace=True)
    )


def _network(filters: int, classes: int, in_channels: int, image_size: int) -> nn.Sequential:
    side = image_size // _SMALLEST  # each block halves the side and rounds down
    layers: dict[str, nn.Module] = {name: _block(filters, filters) for name in _BLOCKS}
    layers[_BLOCKS[0]] = _block(in_channels, filters)
    layers["flatten"] = nn.Flatten()
    layers[_CLASSIFIER] = nn.Linear(filters * side**2, classes)
    return nn.Sequential(OrderedDict(layers))


def _backbone(name: str, filters: int, classes: int, in_channels: int, image_size: int) -> Backbone:
    if image_size < _SMALLEST:
        raise UserError(
            f"{name} halves the image size four times: image_size must be at least {_SMALLEST}, found {image_size}"
        )
    *first, last = _BLOCKS
    return Backbone(
        name=name,
        network=partial(_network, filters, classes, in_channels, image_size),
        stages=(*(Stage(block, (block,)) for block in first), Stage(last, (last, "flatten"))),
        classifier=_CLASSIFIER,
        share_until="block2",
        share_until_late="block2",  # no few-shot code was released, so branches of all methods part here
        image_shape=(in_channels, image_size, image_size),
    )


@register
def conv4(classes: int, in_channels: int, image_size: int = 32) -> Backbone:
    """64 filters, no global pooling: feature width 64 for 28 x 28 images, 1600 for 84 x 84."""
    return _backbone("conv4", 64, classes, in_channels, image_size)


@register
def conv4_128(classes: int, in_channels: int, image_size: int = 32) -> Backbone:
    """128 filters: a wider teacher for ``conv4``."""
    return _backbone("conv4_128", 128, classes, in_channels, image_size)
