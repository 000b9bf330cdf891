"""What all benchmarks share: the device, memory, options, and the JSON that they print."""

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch

from peerdistill.runs.environment import describe

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MIB = 2**20


def synchronise() -> None:
    """Wait for the device, so that the work itself is timed and not only its launch."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def memory_mark() -> int:
    """Return the peak memory so far in bytes: of the GPU, or of this process."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def header(sizes: str, method: str) -> dict[str, Any]:
    """Return where and how a benchmark was measured."""
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


def parser(description: str, repeats: int = 5) -> argparse.ArgumentParser:
    """Return a parser with the options of all benchmarks."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--repeats", type=int, default=repeats, help="number of timed rounds")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    return options


def give(report: dict[str, Any], options: argparse.Namespace) -> None:
    """Print a report as JSON, and write it to the file of ``--json``."""
    text = json.dumps(report, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


def target(found: float, *, least: float | None = None, most: float | None = None) -> dict[str, Any]:
    """Return a figure beside its target: a least or a most value."""
    reached = found >= least if least is not None else most is not None and found <= most
    return {"found": found, "target": most if least is None else least, "reached": reached}
