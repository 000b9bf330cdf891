"""The memory format that "auto" chooses."""

import pytest
import torch
from torch import nn

from peerdistill import Cohort
from peerdistill.training.memory_format import choose_memory_format

CPU = torch.device("cpu")


def auto(backbone: str, precision="32-true", device=CPU) -> torch.memory_format:
    with torch.device("meta"):  # no weights are drawn
        cohort = Cohort(backbone, classes=3, peers=2)
    return choose_memory_format("auto", cohort, device, precision)


def test_a_named_format_is_used_everywhere():
    network = nn.Conv2d(3, 4, 3)
    assert choose_memory_format("contiguous", network, CPU, "bf16-mixed") is torch.contiguous_format
    assert choose_memory_format("channels_last", network, torch.device("cuda"), "32-true") is torch.channels_last


@pytest.mark.parametrize("backbone", ["resnet20", "densenet40_12", "mobilenetv2_half"])
def test_narrow_networks_use_channels_last_on_a_cpu(backbone):
    assert auto(backbone) is torch.channels_last


def test_wide_networks_use_channels_last_only_in_bfloat16():
    assert auto("vgg16") is torch.contiguous_format
    assert auto("vgg16", "bf16-mixed") is torch.channels_last


def test_other_devices_keep_the_default():
    assert auto("resnet20", "bf16-mixed", torch.device("cuda")) is torch.contiguous_format


def test_a_network_without_convolutions_keeps_the_default():
    assert choose_memory_format("auto", nn.Linear(2, 3), CPU, "32-true") is torch.contiguous_format
