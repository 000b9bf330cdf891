"""What a run's numbers may depend on besides its configuration."""

import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

_PACKAGES = ("peerdistill", "torch", "torchvision", "timm", "lightning-fabric", "numpy", "pillow", "scikit-learn")

# Of these the last bits of a run's numbers may depend.
_DECISIVE = ("threads", "device", "processor", "accelerator")
_DECISIVE_PACKAGES = ("torch", "torchvision", "timm", "pillow")


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
        "packages": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of the packages that training uses."""
    return {name: metadata.version(name) for name in _PACKAGES}


def difference_from(file: Path, now: Mapping[str, Any]) -> str:
    """Return a sentence where a run goes on in another environment than it was started in, else nothing.

    Args:
        file: ``environment.json`` of the start; where it is missing or broken nothing is said.
        now: What :func:`describe` returns here.
    """
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        packages = before["packages"]
        found = {name: (before[name], now[name]) for name in _DECISIVE}
        found |= {name: (packages[name], now["packages"][name]) for name in _DECISIVE_PACKAGES}
    except (OSError, ValueError, TypeError, KeyError):
        return ""
    other = {name: both for name, both in found.items() if both[0] != both[1]}
    if not other:
        return ""
    started, here = (", ".join(f"{name} {both[side]}" for name, both in other.items()) for side in (0, 1))
    return f"the run was started with {started} and goes on with {here}: results may differ in the last bits"


def _processor() -> str:
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} {platform.processor()} {capability}".replace("  ", " ")
