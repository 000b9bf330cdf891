"""What a run's numbers may depend on besides its configuration."""

import os
import platform
from importlib import metadata
from typing import Any

import torch

_PACKAGES = ("peerdistill", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow", "scikit-learn")


def describe(device: torch.device) -> dict[str, Any]:
    """Return versions, processor and device."""
    cuda = device.type == "cuda"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "accelerator": torch.cuda.get_device_name(device) if cuda else None,
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} {platform.processor()} {capability}".replace("  ", " ")
