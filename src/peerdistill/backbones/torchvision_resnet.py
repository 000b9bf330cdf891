"""The ResNets of torchvision, as stages of the stock module: a leader's ``state_dict`` is torchvision's own."""

from functools import partial

from torch import nn
from torchvision import models

from peerdistill.backbones.backbone import Backbone, Stage

_STAGES = (
    Stage("stem", ("conv1", "bn1", "relu", "maxpool")),
    Stage("layer1", ("layer1",)),
    Stage("layer2", ("layer2",)),
    Stage("layer3", ("layer3",)),
    Stage("layer4", ("layer4", "avgpool")),
)


def _network(name: str, classes: int, in_channels: int) -> nn.Module:
    network = models.get_model(name, weights=None, num_classes=classes)
    if in_channels != 3:
        network.conv1 = nn.Conv2d(in_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    return network


def _backbone(name: str, classes: int, in_channels: int) -> Backbone:
    build = partial(_network, name, classes, in_channels)
    return Backbone(name, build, _STAGES, classifier="fc", share_until="layer2", image_shape=(in_channels, 224, 224))


def resnet18(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 2, 2, 2, 2."""
    return _backbone("resnet18", classes, in_channels)


def resnet34(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 3, 4, 6, 3."""
    return _backbone("resnet34", classes, in_channels)


def resnet50(classes: int, in_channels: int) -> Backbone:
    """Bottleneck blocks 3, 4, 6, 3."""
    return _backbone("resnet50", classes, in_channels)
