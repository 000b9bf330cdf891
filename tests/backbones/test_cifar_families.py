"""The networks for 32 x 32 images, built a second time from torchvision's own blocks."""

import pytest
import torch
from torch import nn
from torchvision.models import densenet, resnet, vgg

from peerdistill import backbones

CLASSES = 7


def head(width):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)]


def resnet_of(block, blocks):
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for width, first_stride in ((16, 1), (32, 2), (64, 2)):
        outputs = width * block.expansion
        for stride in (first_stride, *[1] * (blocks - 1)):
            changes = stride != 1 or inputs != outputs
            projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            layers.append(block(inputs, width, stride, projection if changes else None))
            inputs = outputs
    return nn.Sequential(*layers, *head(inputs))


def vgg16():
    features = vgg.make_layers(vgg.cfgs["D"], batch_norm=True)
    return nn.Sequential(*features[:-1], *head(512))  # global pooling in place of the last halving


def densenet40_12():
    network = densenet.DenseNet(growth_rate=12, block_config=(6, 6, 6), num_init_features=24, num_classes=CLASSES)
    network.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
    for of_large_images in ("norm0", "relu0", "pool0"):
        delattr(network.features, of_large_images)
    return network


AGAIN = {
    "resnet20": lambda: resnet_of(resnet.BasicBlock, 3),
    "resnet32": lambda: resnet_of(resnet.BasicBlock, 5),
    "resnet56": lambda: resnet_of(resnet.BasicBlock, 9),
    "resnet110": lambda: resnet_of(resnet.Bottleneck, 12),
    "vgg16": vgg16,
    "densenet40_12": densenet40_12,
}


@pytest.mark.parametrize("name", AGAIN)
def test_is_what_torchvisions_blocks_make(name):
    ours = backbones.build(name, classes=CLASSES).network()
    with torch.no_grad():
        ours(torch.randn(4, 3, 32, 32))  # running statistics that say something
    again = AGAIN[name]()
    # Both list their tensors in the order of the forward pass.
    again.load_state_dict(dict(zip(again.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), again.eval()(images))
