"""On what a time was measured."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

# What the kernel calls instructions for products of 8-bit integers, of Intel, AMD and ARM.
_INT8_INSTRUCTIONS = frozenset({"avx_vnni", "avx512_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm"})
_PACKAGES = ("peerdistill", "torch", "onnxruntime")


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, threads, load and versions.

    ``int8_instructions`` are those for products of 8-bit integers, None where the system does not tell;
    ``load_average`` is the mean number of programs that wanted a core in the last minute.
    """
    facts = _cpuinfo()
    flags = facts.get("flags") or facts.get("Features")
    return {
        "processor": facts.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "int8_instructions": None if flags is None else sorted(_INT8_INSTRUCTIONS.intersection(flags.split())),
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": {name: metadata.version(name) for name in _PACKAGES},
    }


def _cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first core, nothing elsewhere."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return {}
    first, *_ = file.read_text().split("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
