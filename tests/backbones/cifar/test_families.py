"""The networks for 32 x 32 images, compared with published figures and with networks of torchvision's blocks."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import densenet, resnet, vgg

from peerdistill import Cohort, backbones

CLASSES = 7
# Parameters of the released networks of the teacher and student pairs at 100 classes.
PAIRS = {
    "resnet8x4": 1_233_540,
    "resnet32x4": 7_433_860,
    "wrn_16_2": 703_284,
    "wrn_40_2": 2_255_156,
    "vgg8": 3_965_028,
    "vgg13": 9_462_180,
    "mobilenetv2_half": 812_836,
    "shufflenetv1": 949_258,
}
# Millions of multiplications and additions for one image.
MULTIPLY_ADDS = {
    "resnet32": 69.1,
    "resnet110": 167.5,
    "vgg16": 313.2,
    "densenet40_12": 72.4,
    "hcgnet_a1": 154.3,
}
# One network of each family.
FAMILIES = ("resnet8x4", "wrn_16_2", "vgg8", "densenet40_12", "hcgnet_a1", "mobilenetv2_half", "shufflenetv1")


def head(width):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)]


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
    return nn.Sequential(*layers, *head(inputs))


def vgg_of(*layers):
    return nn.Sequential(*vgg.make_layers(list(layers), batch_norm=True), *head(512))


def vgg16():
    """As released with the paper: five max pools, no average pooling."""
    layers, inputs = [], 3
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            inputs = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, CLASSES))


def densenet40_12():
    network = densenet.DenseNet(growth_rate=12, block_config=(6, 6, 6), num_init_features=24, num_classes=CLASSES)
    network.features.conv0 = nn.Conv2d(3, 24, 3, padding=1, bias=False)
    for of_large_images in ("norm0", "relu0", "pool0"):
        delattr(network.features, of_large_images)
    return network


REFERENCES = {
    "resnet20": lambda: resnet_of(resnet.BasicBlock, 3),
    "resnet32": lambda: resnet_of(resnet.BasicBlock, 5),
    "resnet56": lambda: resnet_of(resnet.BasicBlock, 9),
    "resnet110": lambda: resnet_of(resnet.Bottleneck, 12),
    "resnet8x4": lambda: resnet_of(resnet.BasicBlock, 1, 32, (64, 128, 256)),
    "resnet32x4": lambda: resnet_of(resnet.BasicBlock, 5, 32, (64, 128, 256)),
    # Global average pooling replaces the last two max pools.
    "vgg8": lambda: vgg_of(64, "M", 128, "M", 256, "M", 512, 512),
    "vgg13": lambda: vgg_of(64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, 512, 512),
    "vgg16": vgg16,
    "densenet40_12": densenet40_12,
}


@pytest.mark.parametrize("name", REFERENCES)
def test_agrees_with_a_network_of_torchvisions_blocks(name):
    ours = backbones.build(name, classes=CLASSES).network()
    with torch.no_grad():
        ours(torch.randn(4, 3, 32, 32))  # running statistics other than 0 and 1
    reference = REFERENCES[name]()
    # Both state_dicts are in the order of the forward pass.
    reference.load_state_dict(dict(zip(reference.state_dict(), ours.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), reference.eval()(images))


@pytest.mark.parametrize(("name", "parameters"), PAIRS.items())
def test_parameters_of_the_released_networks(name, parameters):
    with torch.device("meta"):
        network = backbones.build(name, classes=100).network()
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize(("name", "millions"), MULTIPLY_ADDS.items())
def test_multiply_adds_of_one_image(name, millions):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        backbones.build(name, classes=100).network().eval()(torch.zeros(1, 3, 32, 32))
    assert round(counter.get_total_flops() / 2e6, 1) == millions


@pytest.mark.parametrize("name", FAMILIES)
def test_no_stage_changes_its_input(name):
    """All branches read the same tensor."""
    backbone = backbones.build(name, classes=CLASSES)
    network = backbone.network()
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        for stage in backbone.stages:
            before = x.clone()
            after = stage(network, x)
            assert torch.equal(x, before), stage.name
            x = after


@pytest.mark.parametrize("name", FAMILIES)
def test_one_step_of_a_cohort_updates_every_parameter(name):
    cohort = Cohort(name, classes=CLASSES, peers=2, sharing="branch")
    before = [parameter.clone() for parameter in cohort.parameters()]
    optimizer = torch.optim.SGD(cohort.parameters(), lr=0.1)
    cohort(torch.randn(4, 3, 32, 32)).logits.square().sum().backward()
    optimizer.step()
    without_gradient = set(biases_without_gradient(cohort))
    for (at, parameter), value in zip(cohort.named_parameters(), before, strict=True):
        assert parameter.isfinite().all()
        if at not in without_gradient:
            assert not torch.equal(parameter, value), at

    images = torch.randn(2, 3, 32, 32)
    stock = backbones.build(name, classes=CLASSES).network().eval()
    stock.load_state_dict(cohort.leader().state_dict(), strict=True)
    with torch.no_grad():
        logits = cohort.eval()(images).logits
        assert torch.equal(logits[0], cohort.peer(0)(images))
        assert torch.equal(logits[-1], stock(images))


def biases_without_gradient(network):
    """Yield the biases that a following normalisation or softmax cancels, so that their gradient is 0."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Sequential):
            for (at, child), (_, following) in pairwise(module.named_children()):
                if isinstance(following, nn.BatchNorm1d | nn.BatchNorm2d) and getattr(child, "bias", None) is not None:
                    yield f"{name}.{at}.bias"
        if name.endswith("score"):
            yield f"{name}.bias"
