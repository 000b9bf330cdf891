"""Counts from the events of a profile that is made up: two steps, whose parts are known."""

from types import SimpleNamespace

import pytest
from torch.autograd import DeviceType


@pytest.fixture
def gpu_kernels(benchmark):
    return benchmark("gpu_kernels")


def on_host(name, *durations, children=()):
    kernels = [SimpleNamespace(duration=duration) for duration in durations]
    return SimpleNamespace(name=name, device_type=DeviceType.CPU, kernels=kernels, cpu_children=list(children))


def on_device(name, start, end):
    return SimpleNamespace(
        name=name, device_type=DeviceType.CUDA, time_range=SimpleNamespace(start=start, end=end), kernels=[]
    )


def test_overlapping_kernels_are_busy_time_once(gpu_kernels):
    assert gpu_kernels.length_of_union([(5, 7), (0, 2), (1, 3), (1, 2)]) == 5


def test_kernels_launches_and_waits_of_a_step(gpu_kernels):
    events = [
        on_device("gemm", 0, 1000),
        on_device("relu", 500, 1500),
        on_device("part of the step: forward", 0, 9000),  # a range, drawn on the device's line too
        on_host("aten::mm"),
        on_host("cudaLaunchKernel"),
        on_host("cudaLaunchKernel"),
        on_host("cudaStreamSynchronize"),
    ]
    assert gpu_kernels.of_device(events, steps=2) == {
        "kernels": 1,
        "launches": 1,
        "waits": 0.5,
        "busy_ms": 0.75,
    }


def test_kernels_are_shown_beside_the_time_of_the_step(benchmark):
    step = {"size": "paper", "way": "eager", "peers": "single network"}
    profiled = {"kernels": 500, "busy_ms": 4.0}
    report = {
        "steps": [{**step, "ms": 10.0}, {**step, "size": "cifar20", "ms": 7.0}],
        "kernels": [{**step, **profiled}, {**step, "way": "graphs", **profiled}],
    }
    benchmark("gpu").add_step_times(report)
    measured, other = report["kernels"]
    assert measured == {**step, **profiled, "step_ms": 10.0, "busy_share": 0.4, "us_per_kernel": 20.0}
    assert other == {**step, "way": "graphs", **profiled, "step_ms": None, "busy_share": None, "us_per_kernel": None}


def test_kernels_by_part_of_a_step(gpu_kernels):
    product, sums = on_host("aten::mm", 2000, 4000), on_host("aten::sum", 1000)
    contrast = on_host("part of the step: contrast", children=[sums])
    loss = on_host("part of the step: loss", children=[contrast])
    forward = on_host("part of the step: forward", children=[product])
    update = on_host("aten::_fused_sgd_", 500)
    optimizer = on_host("Optimizer.step#SGD.step", children=[update])
    backward = on_host("aten::convolution_backward", 3000)
    events = [forward, product, loss, contrast, sums, backward, optimizer, update]
    assert gpu_kernels.by_part(events, steps=1) == {
        "forward": {"kernels": 2, "ms": 6},
        "loss": {"kernels": 1, "ms": 1},
        "contrast": {"kernels": 1, "ms": 1},
        "optimizer": {"kernels": 1, "ms": 0.5},
        "backward and the rest": {"kernels": 1, "ms": 3},
    }
