"""Choice of the memory format of weights and activations.

"auto" stands for the format that ``benchmarks/peers.py`` measured to be faster. The choice depends only on network,
device and precision, never on a timing, so that a run can be repeated bit by bit.
"""

import torch
from torch import nn

from peerdistill.training.config import MemoryFormat, Precision

# On a CPU in float32, channels_last saves layout conversions, but its convolutions are slower than PyTorch's blocked
# ones if both channel numbers exceed this.
_WIDEST = 256
_BY_NAME = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


def choose_memory_format(
    option: MemoryFormat, networks: nn.Module, device: torch.device, precision: Precision
) -> torch.memory_format:
    """Return the memory format for an option.

    "auto" is channels_last on a CPU, for all networks in bfloat16 and for narrow ones in float32. Nothing was measured
    on other devices, so there it is PyTorch's default, contiguous.

    Example:
        >>> import torch
        >>> cpu = torch.device("cpu")
        >>> choose_memory_format("auto", torch.nn.Conv2d(3, 64, 3), cpu, "32-true")
        torch.channels_last
        >>> choose_memory_format("auto", torch.nn.Conv2d(512, 512, 3), cpu, "32-true")
        torch.contiguous_format
    """
    if option != "auto":
        return _BY_NAME[option]
    faster = device.type == "cpu" and (precision == "bf16-mixed" or _is_narrow(networks))
    return torch.channels_last if faster else torch.contiguous_format


def _is_narrow(networks: nn.Module) -> bool:
    """Return whether every dense convolution larger than 1 x 1 has few input or few output channels."""
    convolutions = [module for module in networks.modules() if isinstance(module, nn.Conv2d)]
    dense = [module for module in convolutions if module.groups == 1 and max(module.kernel_size) > 1]
    return all(min(module.in_channels, module.out_channels) <= _WIDEST for module in dense) and bool(convolutions)
