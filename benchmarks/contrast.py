"""What the multi-view contrast costs: ``multi_view_nce`` beside the plain gather formulation, in time and memory.

    python benchmarks/contrast.py [--repeats 5] [--json FILE]

Needs only the package and PyTorch, takes about two minutes on two CPU cores, and runs on a GPU where there is one.
benchmarks/README.md says how to read what it prints.

Axes: M peers, B batch, S negatives, N samples, E embedding width, K = 1 + S.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

import peerdistill
from peerdistill.contrast import multi_view_nce, scoring

PEERS, BATCH, NEGATIVES, SAMPLES, WIDTH = 4, 64, 16384, 50_000, 128
TEMPERATURE = 0.1
TABLE_NEGATIVES = (64, 256, 1024, 4096, 16384)
TABLE_SAMPLES = (5_000, 50_000, 200_000)
ROUTE_ENOUGH_S = 1.5  # large sizes are not repeated for longer
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Case(NamedTuple):
    embeddings: Tensor
    banks: Tensor
    indices: Tensor
    negatives: Tensor


def draw_case(samples: int, negatives: int) -> Case:
    generator = torch.Generator(DEVICE).manual_seed(0)
    drawn = {"generator": generator, "device": DEVICE}
    banks = torch.randn(PEERS, samples, WIDTH, **drawn)
    banks /= banks.norm(dim=-1, keepdim=True)  # in place: no second bank may raise the memory mark
    return Case(
        embeddings=torch.randn(PEERS, BATCH, WIDTH, **drawn).requires_grad_(),
        banks=banks,
        indices=torch.randint(samples, (BATCH,), **drawn),
        negatives=torch.randint(samples, (BATCH, negatives), **drawn),
    )


def gathered_nce(embeddings: Tensor, banks: Tensor, indices: Tensor, negatives: Tensor) -> Tensor:
    """Eq. 6 to 11 as they are commonly written: a (B, K, E) block of bank rows for every ordered pair of peers."""
    samples, count = banks.shape[1], negatives.shape[1]
    unit_MBE = F.normalize(embeddings, dim=-1)
    columns_BK = torch.cat([indices[:, None], negatives], dim=1)
    total = embeddings.new_zeros(())
    for anchor, bank in permutations(range(len(banks)), 2):
        rows_BKE = banks[bank][columns_BK]
        h_BK = torch.exp(torch.bmm(rows_BKE, unit_MBE[anchor, :, :, None]).squeeze(2) / TEMPERATURE)
        matched_BK = h_BK / (samples * h_BK.detach().mean(1, keepdim=True))
        p_BK = matched_BK / (matched_BK + count / samples)
        total = total - (p_BK[:, 0].log() + torch.log1p(-p_BK[:, 1:]).sum(1)).mean()
    return total


def product_nce(*case: Tensor) -> Tensor:
    return multi_view_nce(*case, temperature=TEMPERATURE)


FORMULATIONS: dict[str, Callable[..., Tensor]] = {"multi_view_nce": product_nce, "gather": gathered_nce}


def forward_backward(formulation: Callable[..., Tensor], case: Case) -> tuple[float, Tensor]:
    case.embeddings.grad = None
    loss = formulation(*case)
    loss.backward()
    gradient = case.embeddings.grad
    assert gradient is not None
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()  # what is timed is the work, not its queueing
    return loss.item(), gradient


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


def compare(repeats: int) -> dict[str, float]:
    case = draw_case(SAMPLES, NEGATIVES)
    (loss, gradient), (plain_loss, plain_gradient) = (forward_backward(f, case) for f in FORMULATIONS.values())
    took = alternating_medians(
        {name: lambda f=f: forward_backward(f, case) for name, f in FORMULATIONS.items()}, repeats
    )
    return {
        "multi_view_nce_s": took["multi_view_nce"],
        "gather_s": took["gather"],
        "ratio": took["gather"] / took["multi_view_nce"],
        "loss": loss,
        "gather_loss": plain_loss,
        "loss_relative_difference": abs(loss - plain_loss) / abs(plain_loss),
        "gradient_relative_difference": ((gradient - plain_gradient).norm() / plain_gradient.norm()).item(),
    }


def memory_mark() -> int:
    """Most memory held so far, in bytes: of the device, or of this process."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_of_this_process(name: str) -> int:
    """Bytes by which one forward and backward pass raises the memory mark above that of its inputs."""
    forward_backward(FORMULATIONS[name], draw_case(100, 8))  # what libraries and autograd set up once
    case = draw_case(SAMPLES, NEGATIVES)
    before = memory_mark()
    forward_backward(FORMULATIONS[name], case)
    return memory_mark() - before


def peaks() -> dict[str, int]:
    """Peak extra memory of each formulation, in a process of its own.

    Must run before this process has grown: on Linux a child's mark starts from what its parent held.
    """
    command = [sys.executable, __file__, "--peak-of"]
    return {name: int(subprocess.check_output([*command, name], text=True)) for name in FORMULATIONS}


def route_seconds(samples: int, negatives: int, repeats: int) -> dict[str, float]:
    """``multi_view_nce`` forced onto each route, whatever it would choose."""
    case = draw_case(samples, negatives)
    chosen = scoring._GATHER_COST

    def forced(gather_cost: float) -> None:
        scoring._GATHER_COST = gather_cost
        forward_backward(product_nce, case)

    try:
        runs = {"product": lambda: forced(float("inf")), "gather": lambda: forced(0)}
        return alternating_medians(runs, repeats, ROUTE_ENOUGH_S)
    finally:
        scoring._GATHER_COST = chosen


def routes(repeats: int) -> list[dict[str, float | str]]:
    return [
        {
            "samples": samples,
            "negatives": negatives,
            **{f"{route}_s": took for route, took in route_seconds(samples, negatives, repeats).items()},
            "chosen": "gather" if (1 + negatives) * scoring._GATHER_COST < samples else "product",
        }
        for samples in TABLE_SAMPLES
        for negatives in TABLE_NEGATIVES
        if negatives < samples
    ]


def hardware() -> str:
    if DEVICE.type == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores"


def header(repeats: int) -> dict[str, str | int | float]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "hardware": hardware(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
        "peerdistill": peerdistill.__version__,
        "sizes": f"B {BATCH}, S {NEGATIVES}, N {SAMPLES}, E {WIDTH}, M {PEERS}, all ordered pairs, float32",
        "method": f"forward and backward; median of {repeats} alternating repeats after one untimed "
        f"(routes: fewer where they took {ROUTE_ENOUGH_S} s); memory from one pass in a fresh process",
    }


def show(report: dict) -> None:
    for name, value in report["header"].items():
        print(f"{name + ':':14} {value}")
    told, peak = report["comparison"], report["peak_bytes"]
    print(f"\n{'':16} {'seconds':>8} {'peak extra memory':>18}")
    for name in FORMULATIONS:
        print(f"{name:16} {told[f'{name}_s']:8.3f} {peak[name] / 2**20:14.0f} MiB")
    print(f"multi_view_nce is {told['ratio']:.1f} times as fast")
    print(
        f"loss {told['loss']:.6g}, relative difference {told['loss_relative_difference']:.1e}; "
        f"gradient, relative difference {told['gradient_relative_difference']:.1e}"
    )
    print("\nroutes of multi_view_nce, milliseconds")
    print(f"{'N':>8} {'S':>6} {'N / K':>7} {'product':>9} {'gather':>9}  chosen")
    for row in report["routes"]:
        per_column = row["samples"] / (1 + row["negatives"])
        product, gather = 1e3 * row["product_s"], 1e3 * row["gather_s"]
        sizes = f"{row['samples']:8} {row['negatives']:6} {per_column:7.1f}"
        print(f"{sizes} {product:9.1f} {gather:9.1f}  {row['chosen']}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of the multi-view contrast.")
    parser.add_argument("--repeats", type=int, default=5, help="timed repeats of each formulation")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE as well")
    parser.add_argument("--peak-of", choices=FORMULATIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        print(peak_of_this_process(options.peak_of))
        return
    report = {
        "header": header(options.repeats),
        "peak_bytes": peaks(),
        "comparison": compare(options.repeats),
        "routes": routes(options.repeats),
    }
    show(report)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
