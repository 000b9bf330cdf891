"""What the benchmarks have in common: how time and memory are taken, and what is said of the machine."""

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

import peerdistill

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronise() -> None:
    """Wait for the device: what is timed is the work, not its queueing."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternating_medians(
    runs: Mapping[str, Callable[[], object]], repeats: int, enough_s: float = float("inf")
) -> dict[str, float]:
    """Median seconds of each; one untimed round first, then in turns, so that a busy moment hits all of them.

    Stops before ``repeats`` timed rounds once they took ``enough_s``.
    """
    rounds = []
    for number in range(1 + repeats):
        timed = {name: seconds(run) for name, run in runs.items()}
        if number > 0:
            rounds.append(timed)
        if sum(sum(timed.values()) for timed in rounds) > enough_s:
            break
    return {name: statistics.median(timed[name] for timed in rounds) for name in runs}


def memory_mark() -> int:
    """Most memory held so far, in bytes: of the device, or of this process."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def hardware() -> str:
    if DEVICE.type == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores"


def header(sizes: str, method: str) -> dict[str, str | int | float]:
    """What stands above every benchmark's figures."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": hardware(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2),
        "peerdistill": peerdistill.__version__,
        "sizes": sizes,
        "method": method,
    }


def header_lines(about: Mapping[str, object]) -> str:
    return "\n".join(f"{name + ':':14} {value}" for name, value in about.items())
