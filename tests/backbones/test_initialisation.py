"""Fresh weights have the distribution of each family's released code."""

import math

import pytest
import torch
from torch import nn

from peerdistill import backbones


def fresh(name):
    torch.manual_seed(0)
    return backbones.build(name, classes=100).network()


def fan_in(weight):
    return weight[0].numel()


def fan_out(weight):
    return weight.shape[0] * weight[0, 0].numel()


def spread(values, deviation):
    """Return the root mean square of values divided by a standard deviation, and its tolerance around 1."""
    return values.square().mean().sqrt().item() / deviation, 5 / math.sqrt(values.numel())


FAMILIES = {
    "fan_out": ("resnet20", "wrn_16_2", "vgg16", "vgg13", "vgg8", "mobilenetv2_half"),
    "fan_in": ("densenet40_12",),
}
HE = [(name, fan) for fan, names in FAMILIES.items() for name in names]
PYTORCH_DEFAULT = ("hcgnet_a1", "shufflenetv1")


@pytest.mark.parametrize(("name", "fan"), HE)
def test_convolutions_are_drawn_as_in_he_et_al(name, fan):
    fan_of = {"fan_in": fan_in, "fan_out": fan_out}[fan]
    for module in fresh(name).modules():
        if isinstance(module, nn.Conv2d):
            found, tolerance = spread(module.weight, math.sqrt(2 / fan_of(module.weight)))
            assert found == pytest.approx(1, abs=tolerance)
            assert module.weight.abs().max() > 2 * math.sqrt(2 / fan_of(module.weight))  # normal, not uniform
            assert module.bias is None or not module.bias.any()


@pytest.mark.parametrize("name", PYTORCH_DEFAULT)
def test_convolutions_keep_pytorchs_default(name):
    """Uniform in +-1 / sqrt(fan_in), PyTorch's default for convolutions and linear layers."""
    for module in fresh(name).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            limit = 1 / math.sqrt(fan_in(module.weight))
            found, tolerance = spread(module.weight, limit / math.sqrt(3))
            assert found == pytest.approx(1, abs=tolerance)
            assert module.weight.abs().max() <= limit


@pytest.mark.parametrize("name", ["vgg16", "vgg13", "vgg8", "mobilenetv2_half"])
def test_classifiers_with_small_weights(name):
    classifier = fresh(name).fc
    found, tolerance = spread(classifier.weight, 0.01)
    assert found == pytest.approx(1, abs=tolerance)
    assert not classifier.bias.any()


@pytest.mark.parametrize(
    ("name", "zero"),
    [("densenet40_12", True), ("wrn_16_2", True), ("resnet20", False), ("hcgnet_a1", False), ("shufflenetv1", False)],
)
def test_classifiers_that_differ_from_pytorchs_default_only_in_the_bias(name, zero):
    classifier = fresh(name).fc
    limit = 1 / math.sqrt(fan_in(classifier.weight))
    found, tolerance = spread(classifier.weight, limit / math.sqrt(3))
    assert found == pytest.approx(1, abs=tolerance)
    assert bool(classifier.bias.any()) is not zero
