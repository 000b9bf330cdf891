"""Lower bounds of a training step on an H100, computed from the operations of the step: nothing is timed.

    python benchmarks/roofline.py [--json FILE]

Each operation takes at least as long as its floating-point operations and its bytes take at the peak rates of the data
sheet (NVIDIA H100 SXM). A step without CUDA graphs takes at least as long as the host needs to launch its kernels. The
time of a launch and the least time of a kernel are assumptions, named below. benchmarks/gpu.py measures what this
program estimates.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from measuring import give, header, parser
from peerdistill.config import Config
from peerdistill.study.cost import Sizes
from peerdistill.study.cost.kernels import Operation, operations
from peerdistill.study.cost.peers import Peers, with_shapes

SIZES = Sizes(50_000, 100, image_size=32)
COHORTS = {
    "single network": {"method": "baseline", "peers": 1},
    "mcl-okd, 2 branches": {"method": "mcl-okd", "peers": 2},
    "mcl-okd, 4 branches": {"method": "mcl-okd", "peers": 4},
    "mcl-okd, 4 branches, shared": {"method": "mcl-okd", "peers": 4, "contrast": {"negatives": "shared"}},
}
# Of the data sheet: memory, and products without sparsity. Convolutions are in TF32, other products in float32.
BYTES_PER_S = 3.35e12
TF32_FLOPS, FLOAT32_FLOPS = 495e12, 67e12
# Assumptions: what the host takes for one operation of PyTorch and its kernel, and what the shortest kernel takes.
LAUNCH_S, KERNEL_S = 10e-6, 2e-6
TENSORS_PER_KERNEL = 48  # of a fused optimizer with three lists of tensors


def parts_of(peers: Peers) -> dict[str, list[Operation]]:
    """Return the operations of a step by part."""
    cohort, method, batch = peers.cohort, peers.method, peers.batch
    method.start_epoch(1000)
    cohort(batch.images)  # in its first call, a cohort clones what its branches share
    with operations() as forward:
        out = cohort(batch.images)
    contrast: list[Operation] = []
    with operations() as loss_and_contrast, _within(method.terms, "contrast", loss_and_contrast, contrast):
        loss = method(out, batch.labels, batch.indices, batch.targets)
    with operations() as backward:
        loss.total.backward()
    loss_alone = [one for one in loss_and_contrast if not any(one is other for other in contrast)]
    trained = [one for one in (*cohort.parameters(), *method.parameters()) if one.grad is not None]
    return {
        "forward": forward,
        "loss": loss_alone,
        "contrast": contrast,
        "backward": backward,
        "optimizer": [fused_sgd(sum(one.nbytes for one in trained), len(trained))],
    }


def fused_sgd(weights: int, tensors: int) -> Operation:
    """Return the update with momentum: reads weights, gradients and momenta, and writes weights and momenta."""
    return Operation("_fused_sgd_", -(-tensors // TENSORS_PER_KERNEL), 0, 5 * weights)


@contextmanager
def _within(terms: nn.ModuleDict, name: str, found: list[Operation], chosen: list[Operation]) -> Iterator[None]:
    """Add the operations of a term to ``chosen``, if the method has it."""
    if name not in terms:
        yield
        return
    starts: list[int] = []
    handles = [
        terms[name].register_forward_pre_hook(lambda *_: starts.append(len(found))),
        terms[name].register_forward_hook(lambda *_: chosen.extend(found[starts.pop() :])),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def least_seconds(one: Operation) -> float:
    """Return the time of an operation at the peak rates."""
    rate = TF32_FLOPS if "convolution" in one.name else FLOAT32_FLOPS
    return max(one.flops / rate, one.moved / BYTES_PER_S)


def row(name: str, part: str, found: list[Operation]) -> dict[str, Any]:
    kernels = sum(one.kernels for one in found)
    return {
        "peers": name,
        "part": part,
        "kernels": kernels,
        "gflop": sum(one.flops for one in found) / 1e9,
        "gbytes": sum(one.moved for one in found) / 1e9,
        "roofline_ms": 1e3 * sum(map(least_seconds, found)),
        "graph_ms": 1e3 * sum(max(least_seconds(one), one.kernels * KERNEL_S) for one in found),
        "launch_ms": 1e3 * kernels * LAUNCH_S,
    }


def rows(name: str, options: dict[str, Any], sizes: Sizes = SIZES, backbone: str = "resnet32") -> list[dict[str, Any]]:
    """Return a row for each part of a step, and one for all of it."""
    config = Config.from_dict({"data": "cifar100", "backbone": backbone, "batch_size": 64, **options})
    parts = with_shapes(config, sizes, parts_of)
    every = [one for found in parts.values() for one in found]
    return [row(name, part, found) for part, found in (*parts.items(), ("step", every)) if found]


def steps(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the whole steps beside that of the single network."""
    whole = [one for one in found if one["part"] == "step"]
    single = whole[0]
    measures = ("kernels", "roofline_ms", "graph_ms", "launch_ms")
    return [{**one, **{f"{name}_ratio": one[name] / single[name] for name in measures}} for one in whole]


def main() -> None:
    options = parser("Computed lower bounds of a training step on an H100.").parse_args()
    about = header(
        sizes="resnet32, batch 64, 50,000 images of 32 x 32, 100 classes, 16,384 negatives, float32",
        method="computed from shapes, for an NVIDIA H100 SXM",
    )
    found = [one for name, peers in COHORTS.items() for one in rows(name, peers)]
    assumed = {
        "terabytes_per_s": BYTES_PER_S / 1e12,
        "tf32_tflops": TF32_FLOPS / 1e12,
        "float32_tflops": FLOAT32_FLOPS / 1e12,
        "launch_us": 1e6 * LAUNCH_S,
        "kernel_us": 1e6 * KERNEL_S,
    }
    four = [one for one in found if one["peers"] == "mcl-okd, 4 branches" and one["part"] != "step"]
    give({"header": about, "assumed": assumed, "steps": steps(found), "four": four, "parts": found}, options)


if __name__ == "__main__":
    main()
