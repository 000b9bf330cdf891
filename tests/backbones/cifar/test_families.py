"""What holds for all families of networks for 32 x 32 images, and published figures about them."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

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
