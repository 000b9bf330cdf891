"""What the benchmarks have in common: how time and memory are taken, and what is said of the machine."""

import resource
import sys
import time
from collections.abc import Mapping

import torch

from peerdistill.runs.environment import describe

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronise() -> None:
    """Wait for the device: what is timed is the work, not its queueing."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def memory_mark() -> int:
    """Most memory held so far, in bytes: of the device, or of this process."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def header(sizes: str, method: str) -> dict[str, str | int | float | None]:
    """Where and how a benchmark was measured."""
    machine = describe(DEVICE)
    return {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": machine["accelerator"] or f"{machine['processor']}, {machine['cores']} cores",
        "torch": machine["packages"]["torch"],
        "threads": machine["threads"],
        "load_average": machine["load_average"],
        "peerdistill": machine["packages"]["peerdistill"],
        "sizes": sizes,
        "method": method,
    }


def header_lines(about: Mapping[str, object]) -> str:
    return "\n".join(f"{name + ':':14} {value}" for name, value in about.items())
