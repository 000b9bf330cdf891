"""The ResNets of torchvision under their bare names, with the stages that papers speak of.

A leader's ``state_dict`` is torchvision's own.
"""

from functools import partial

from peerdistill.backbones.backbone import USUAL_SIZE, Backbone, Stage
from peerdistill.backbones.torchvision_models import network, pretrained

_STAGES = (
    Stage("stem", ("conv1", "bn1", "relu", "maxpool")),
    Stage("layer1", ("layer1",)),
    Stage("layer2", ("layer2",)),
    Stage("layer3", ("layer3",)),
    Stage("layer4", ("layer4", "avgpool")),
)


def _backbone(name: str, classes: int, in_channels: int) -> Backbone:
    return Backbone(
        name,
        partial(network, name, classes, in_channels),
        _STAGES,
        classifier="fc",
        share_until="layer2",
        image_shape=(in_channels, USUAL_SIZE, USUAL_SIZE),
        pretrained=partial(pretrained, name, in_channels),
    )


def resnet18(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 2, 2, 2, 2."""
    return _backbone("resnet18", classes, in_channels)


def resnet34(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 3, 4, 6, 3."""
    return _backbone("resnet34", classes, in_channels)


def resnet50(classes: int, in_channels: int) -> Backbone:
    """Bottleneck blocks 3, 4, 6, 3."""
    return _backbone("resnet50", classes, in_channels)
