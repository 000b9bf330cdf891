import pytest
from torch import nn
from torchvision.models import resnet

CLASSES = 7


def resnet_of(block, blocks, stem=16, widths=(16, 32, 64)):
    layers = [nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem), nn.ReLU()]
    inputs = stem
    for width, first_stride in zip(widths, (1, 2, 2), strict=True):
        outputs = width * block.expansion
        for stride in (first_stride, *[1] * (blocks - 1)):
            changes = stride != 1 or inputs != outputs
            projection = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            layers.append(block(inputs, width, stride, projection if changes else None))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


REFERENCES = {
    "resnet20": lambda: resnet_of(resnet.BasicBlock, 3),
    "resnet32": lambda: resnet_of(resnet.BasicBlock, 5),
    "resnet56": lambda: resnet_of(resnet.BasicBlock, 9),
    "resnet110": lambda: resnet_of(resnet.Bottleneck, 12),
    "resnet8x4": lambda: resnet_of(resnet.BasicBlock, 1, 32, (64, 128, 256)),
    "resnet32x4": lambda: resnet_of(resnet.BasicBlock, 5, 32, (64, 128, 256)),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_a_network_of_torchvisions_blocks(name, agrees_with_reference):
    agrees_with_reference(name, REFERENCES[name]())
