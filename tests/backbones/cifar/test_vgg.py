import pytest
from torch import nn
from torchvision.models import vgg

CLASSES = 7


def vgg_of(*layers):
    body = vgg.make_layers(list(layers), batch_norm=True)
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


def vgg16():
    """As released with the paper: five max pools, no average pooling."""
    layers, inputs = [], 3
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, CLASSES))


REFERENCES = {
    # Global average pooling replaces the last two max pools.
    "vgg8": lambda: vgg_of(64, "M", 128, "M", 256, "M", 512, 512),
    "vgg13": lambda: vgg_of(64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, 512, 512),
    "vgg16": vgg16,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_a_network_of_torchvisions_blocks(name, agrees_with_reference):
    agrees_with_reference(name, REFERENCES[name]())
