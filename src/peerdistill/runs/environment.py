"""The machine and the software that a result depends on: for runs, for ``bench`` and for the benchmarks."""

import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

_PACKAGES = (
    *("peerdistill", "torch", "torchvision", "timm", "lightning-fabric"),
    *("numpy", "onnxruntime", "pillow", "scikit-learn"),
)

# The last bits of a run's numbers may depend on these.
_DECISIVE = ("threads", "device", "processor", "accelerator")
_DECISIVE_PACKAGES = ("torch", "torchvision", "timm", "pillow")

# Instructions for products of 8-bit integers of Intel, AMD and ARM, as the Linux kernel names them.
_INT8_INSTRUCTIONS = frozenset({"avx_vnni", "avx512_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm"})
_CPUINFO = Path("/proc/cpuinfo")


def describe(device: torch.device, cpuinfo: Path = _CPUINFO) -> dict[str, Any]:
    """Return the machine and the versions of the packages.

    Args:
        device: Device of the computation.
        cpuinfo: The kernel's description of the processor; it may be missing.

    Returns:
        ``python``, ``platform``, ``processor``, ``cores``, ``threads`` (of PyTorch), ``device``, ``accelerator`` (its
        name, or None), ``int8_instructions`` (for products of 8-bit integers; None if unknown), ``load_average`` (mean
        number of runnable processes in the last minute; None if unknown) and ``packages`` (versions).

    Example:
        >>> describe(torch.device("cpu"))["device"]
        'cpu'
    """
    facts = _first_core(cpuinfo)
    flags = facts.get("flags") or facts.get("Features")
    model = facts.get("model name") or platform.processor()
    return {
        "python": platform.python_version(),
        "platform": _platform(),
        "processor": ", ".join(filter(None, (model, platform.machine(), torch.backends.cpu.get_cpu_capability()))),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": str(device),
        "accelerator": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "int8_instructions": None if flags is None else sorted(_INT8_INSTRUCTIONS.intersection(flags.split())),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "packages": versions(),
    }


def _platform() -> str:
    """Return operating system, machine and C library. Not the kernel's build: its name tells where a machine stands."""
    return ", ".join(filter(None, (f"{platform.system()} {platform.machine()}", " ".join(platform.libc_ver()).strip())))


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on."""
    return {name: metadata.version(name) for name in _PACKAGES}


def difference_from(file: Path, now: Mapping[str, Any]) -> str:
    """Compare the environment in which a run was started with the present one.

    Args:
        file: ``environment.json`` of the run.
        now: Result of :func:`describe`.

    Returns:
        A sentence that names the differences, or an empty string if there are none or the file cannot be read.
    """
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
        packages = before["packages"]
        found = {name: (before[name], now[name]) for name in _DECISIVE}
        found |= {name: (packages[name], now["packages"][name]) for name in _DECISIVE_PACKAGES}
    except (OSError, ValueError, TypeError, KeyError):
        return ""
    changed = {name: both for name, both in found.items() if both[0] != both[1]}
    if not changed:
        return ""
    started, here = (", ".join(f"{name} {both[side]}" for name, both in changed.items()) for side in (0, 1))
    return f"the run was started with {started} and continues with {here}: results may differ in the last bits"


def _first_core(cpuinfo: Path) -> dict[str, str]:
    """Return the kernel's description of the first core, or an empty dictionary if there is none."""
    if not cpuinfo.is_file():
        return {}
    first, *_ = cpuinfo.read_text().split("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
