"""Networks written as a sequence of named stages, which most CIFAR families are."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from torch import nn

from peerdistill.backbones.backbone import Backbone, Stage
from peerdistill.backbones.initialisation import Initialisation

CLASSIFIER = "fc"
POOL = "pool"


def network(stages: Mapping[str, nn.Module], width: int, classes: int, initialisation: Initialisation) -> nn.Sequential:
    """Return the stages followed by global average pooling and a linear classifier, with fresh weights."""
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    classifier = nn.Linear(width, classes)
    built = nn.Sequential(OrderedDict(stages, **{POOL: pool, CLASSIFIER: classifier}))
    initialisation.apply(built, classifier)
    return built


def layer(
    block: Callable[[int, int, int], nn.Module], inputs: int, outputs: int, stride: int, blocks: int
) -> nn.Sequential:
    """Return a sequence of blocks. The first one changes the width and applies the stride.

    Args:
        block: Makes a block from its input channels, output channels and stride.
        inputs: Input channels of the layer.
        outputs: Output channels of every block.
        stride: Stride of the first block; the others have stride 1.
        blocks: Number of blocks, at least 1.
    """
    return nn.Sequential(block(inputs, outputs, stride), *(block(outputs, outputs, 1) for _ in range(blocks - 1)))


def backbone(
    name: str, build: Callable[[], nn.Sequential], stages: tuple[str, ...], share_until: str, in_channels: int
) -> Backbone:
    """Return the backbone of a :func:`network` with the given stage names. Pooling belongs to the last stage."""
    *first, last = stages
    return Backbone(
        name=name,
        network=build,
        stages=(*(Stage(stage, (stage,)) for stage in first), Stage(last, (last, POOL))),
        classifier=CLASSIFIER,
        share_until=share_until,
        image_shape=(in_channels, 32, 32),
    )
