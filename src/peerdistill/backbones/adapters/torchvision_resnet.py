"""The ResNets of torchvision under their bare names, with the stages that the papers name.

The leader's ``state_dict`` is that of the torchvision model.
"""

from functools import partial

from peerdistill.backbones.adapters.torchvision_models import network, pretrained
from peerdistill.backbones.adapters.torchvision_models import pretrained_input as pretrained_input  # for the catalog
from peerdistill.backbones.backbone import PHOTO_SIZE, Backbone, Stage
from peerdistill.backbones.registry import register

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
        image_shape=(in_channels, PHOTO_SIZE, PHOTO_SIZE),
        pretrained=partial(pretrained, name, in_channels),
    )


@register
def resnet18(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 2, 2, 2, 2."""
    return _backbone("resnet18", classes, in_channels)


@register
def resnet34(classes: int, in_channels: int) -> Backbone:
    """Basic blocks 3, 4, 6, 3."""
    return _backbone("resnet34", classes, in_channels)


@register
def resnet50(classes: int, in_channels: int) -> Backbone:
    """Bottleneck blocks 3, 4, 6, 3."""
    return _backbone("resnet50", classes, in_channels)
