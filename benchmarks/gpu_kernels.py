"""Kernels of a training step on a GPU: how many, how long, and in which part of the step."""

from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from gpu_training import ON_GPU, Peers, Size, Training, start_of_memory

PROFILED_STEPS = 3
_RANGE = "part of the step: "
_LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")
_WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")


def kernels_of(size: Size, peers: Peers, way: str, *, warm_up: int) -> dict[str, Any]:
    """Return the number of kernels and launches of a step and the time that the GPU is busy, by part of the step.

    The profiler slows down the launches of this process from then on.
    """
    start_of_memory()
    training = Training(size, peers, way)
    training.steps(warm_up)
    # A graph is replayed without calling the modules.
    parts = {} if training.config.cuda_graphs == "auto" else _parts(training)
    handles = [handle for name, module in parts.items() for handle in _ranged(name, module)]
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * ON_GPU
    with profile(activities=activities) as profiled:
        training.steps(PROFILED_STEPS)
    for handle in handles:
        handle.remove()
    return {
        "size": size.name,
        "way": way,
        "peers": str(peers),
        **of_device(profiled.events(), PROFILED_STEPS),
        "parts": by_part(profiled.events(), PROFILED_STEPS) if parts else {},
    }


def _parts(training: Training) -> dict[str, nn.Module]:
    parts: dict[str, nn.Module] = {"forward": training.cohort, "loss": training.method}
    if "contrast" in training.method.terms:
        parts["contrast"] = training.method.terms["contrast"]
    return parts


def _ranged(name: str, module: nn.Module) -> list[Any]:
    """Mark the calls of a module in the profile, and return the handles of the hooks."""
    ranges: list[record_function] = []

    def start(*_: Any) -> None:
        ranges.append(record_function(_RANGE + name))
        ranges[-1].__enter__()

    def stop(*_: Any) -> None:
        ranges.pop().__exit__(None, None, None)

    return [module.register_forward_pre_hook(start), module.register_forward_hook(stop)]


def of_device(events: Iterable[Any], steps: int) -> dict[str, float]:
    """Return counts of a step, and the milliseconds in which at least one kernel runs."""
    events = list(events)
    marks = (_RANGE, "Optimizer.")
    on_device = [event for event in events if event.device_type == DeviceType.CUDA and not event.name.startswith(marks)]
    busy = length_of_union((event.time_range.start, event.time_range.end) for event in on_device)
    on_host = [event.name for event in events if event.device_type == DeviceType.CPU]
    return {
        "kernels": len(on_device) / steps,
        "launches": sum(name.startswith(_LAUNCHES) for name in on_host) / steps,
        "waits": sum(name.startswith(_WAITS) for name in on_host) / steps,
        "busy_ms": busy / steps / 1e3,
    }


def length_of_union(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def by_part(events: Iterable[Any], steps: int) -> dict[str, dict[str, float]]:
    """Return kernels and their milliseconds by part of the step; ``loss`` includes the contrast, which has its own."""
    found: dict[str, dict[str, float]] = {}
    everything = {"kernels": 0.0, "ms": 0.0}
    for event in events:
        if event.device_type != DeviceType.CPU:
            continue
        everything["kernels"] += len(event.kernels) / steps
        everything["ms"] += sum(kernel.duration for kernel in event.kernels) / steps / 1e3
        name = "optimizer" if event.name.startswith("Optimizer.step") else event.name.removeprefix(_RANGE)
        if name != event.name:
            part = found.setdefault(name, {"kernels": 0.0, "ms": 0.0})
            kernels = list(_kernels_within(event))
            part["kernels"] += len(kernels) / steps
            part["ms"] += sum(kernel.duration for kernel in kernels) / steps / 1e3
    counted = [found[name] for name in ("forward", "loss", "optimizer") if name in found]
    rest = {key: value - sum(part[key] for part in counted) for key, value in everything.items()}
    return {**found, "backward and the rest": rest}


def _kernels_within(event: Any) -> Iterator[Any]:
    yield from event.kernels
    for child in event.cpu_children:
        yield from _kernels_within(child)
