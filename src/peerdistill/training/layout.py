"""How weights and activations lie in memory: whatever is fastest for a cohort where it is trained.

``benchmarks/peers.py`` measures it. The choice follows from network, device and precision alone, never from a timing,
so that a run can be repeated bit by bit.
"""

import torch
from torch import nn

from peerdistill.training.config import MemoryFormat, Precision

# On a CPU, float32: up to here channels-last saves more copies than its convolutions lose against blocked ones.
_WIDEST = 256
_BY_NAME = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def memory_format(
    chosen: MemoryFormat, networks: nn.Module, device: torch.device, precision: Precision
) -> torch.memory_format:
    """Return the format that ``chosen`` names; for "auto" the fastest one as far as it was measured.

    On CPUs channels-last is the faster one for narrow networks in float32 and for all in bfloat16. Nothing was
    measured on other devices: they keep PyTorch's own default.
    """
    if chosen != "auto":
        return _BY_NAME[chosen]
    faster = device.type == "cpu" and (precision == "bf16-mixed" or _is_narrow(networks))
    return torch.channels_last if faster else torch.contiguous_format


def _is_narrow(networks: nn.Module) -> bool:
    """Tell whether no dense convolution over more than one place has more than so many channels on both sides."""
    convolutions = [module for module in networks.modules() if isinstance(module, nn.Conv2d)]
    dense = [one for one in convolutions if one.groups == 1 and max(one.kernel_size) > 1]
    return all(min(one.in_channels, one.out_channels) <= _WIDEST for one in dense) and bool(convolutions)
