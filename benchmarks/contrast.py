"""What the multi-view contrast costs: every kind of negatives beside the plain gather formulation, time and memory.

    python benchmarks/contrast.py [--repeats 5] [--json FILE] [--write]

Needs only the package and PyTorch, takes some minutes on two CPU cores, and runs on a GPU where there is one.
benchmarks/README.md says how to read what it prints; contrast_growth.py measures how it grows.
"""

import argparse
import subprocess
import sys
from functools import partial

import torch
from torch.nn import functional as F

import contrast_report
from contrast_cases import KINDS, Case, draw_case, forward_backward, gathered, gathered_kind, ours, two_products
from measuring import header, memory_mark
from page import give, parser
from peerdistill.contrast import keys
from peerdistill.study.timing import median_seconds

OBJECTIVES = ("nce", "softmax")
FEW_NEGATIVES = (64, 256, 1024)
FEW_REPEATS = 5
AGREEMENT_SIZES = {"batch": 16, "negatives": 1024, "samples": 5000}
ROUTE_NEGATIVES = (64, 256, 1024, 4096, 16384)
ROUTE_SAMPLES = (5_000, 50_000, 200_000)
ROUTE_ENOUGH_S = 1.5  # large sizes are not repeated for longer
FORMULATIONS = {f"{objective} gather": partial(gathered, objective=objective) for objective in OBJECTIVES} | {
    f"{objective} {kind}": partial(ours, kind, objective=objective) for objective in OBJECTIVES for kind in KINDS
}


def compare(repeats: int) -> dict[str, float]:
    """Seconds of every formulation at the paper's size, and of the two products alone."""
    case = draw_case()
    runs = {name: partial(forward_backward, formulation, case) for name, formulation in FORMULATIONS.items()}
    samples, negatives = case.banks.shape[1], case.own.shape[1]
    for kind, scored in {"own": samples, "shared": negatives, "all": samples, "queue": negatives}.items():
        runs[f"products {kind}"] = partial(two_products, case, scored)
    return median_seconds(runs, repeats)


def compare_few(repeats: int) -> list[dict[str, float]]:
    """Seconds with few negatives of each anchor's own."""
    rows = []
    for negatives in FEW_NEGATIVES:
        case = draw_case(negatives=negatives)
        names = ("nce gather", "nce own")
        took = median_seconds({name: partial(forward_backward, FORMULATIONS[name], case) for name in names}, repeats)
        rows.append({"negatives": negatives, **took})
    return rows


def peak_of_this_process(name: str) -> int:
    """Bytes by which one forward and backward pass raises the memory mark above that of its inputs."""
    forward_backward(FORMULATIONS[name], draw_case(batch=2, negatives=8, samples=100))  # what libraries set up once
    case = draw_case()
    before = memory_mark()
    forward_backward(FORMULATIONS[name], case)
    return memory_mark() - before


def peaks() -> dict[str, int]:
    """Peak extra memory of each formulation, in a process of its own.

    Must run before this process has grown: on Linux a child's mark starts from what its parent held.
    """
    command = [sys.executable, __file__, "--peak-of"]
    return {name: int(subprocess.check_output([*command, name], text=True)) for name in FORMULATIONS}


def agreement() -> list[dict[str, float | str]]:
    """Relative differences to the plain formulation, which computes in float64, in loss and gradient."""
    single = draw_case(**AGREEMENT_SIZES)
    double = Case(*(tensor.detach().double() if tensor.is_floating_point() else tensor for tensor in single))
    double.embeddings.requires_grad_()
    rows = []
    for objective in OBJECTIVES:
        for kind in KINDS:
            expected = forward_backward(partial(gathered_kind, kind, objective=objective), double)
            for dtype, case in (("float32", single), ("float64", double)):
                found = forward_backward(partial(ours, kind, objective=objective), case)
                rows.append({"objective": objective, "kind": kind, "dtype": dtype, **difference(found, expected)})
    return rows


def difference(found: tuple[float, torch.Tensor], expected: tuple[float, torch.Tensor]) -> dict[str, float]:
    gradients = found[1].double(), expected[1].double()
    cosine = F.cosine_similarity(*(gradient.flatten(1) for gradient in gradients), dim=1)
    return {
        "loss": abs(found[0] - expected[0]) / abs(expected[0]),
        "gradient": ((gradients[0] - gradients[1]).norm() / gradients[1].norm()).item(),
        "cosine": cosine.min().item(),
    }


def half_precision(repeats: int) -> list[dict]:
    """What a bank in bfloat16 changes: seconds, memory of the bank, loss and gradient."""
    rows = []
    for trained in (False, True):
        case = draw_case(trained=trained)
        halved = case._replace(banks=case.banks.bfloat16())
        for kind in KINDS:
            runs = {"float32": case, "bfloat16": halved}
            found = {name: forward_backward(partial(ours, kind), of) for name, of in runs.items()}
            took = median_seconds(
                {name: partial(forward_backward, partial(ours, kind), of) for name, of in runs.items()}, repeats
            )
            changed = difference(found["bfloat16"], found["float32"])
            rows.append({"kind": kind, "rows": "trained" if trained else "random", **changed, "seconds": took})
    return rows


def route_seconds(samples: int, negatives: int, repeats: int) -> dict[str, float]:
    """Own negatives forced onto each route, whatever would be chosen."""
    case = draw_case(samples=samples, negatives=negatives)
    chosen = keys.GATHER_COST

    def forced(gather_cost: float) -> None:
        keys.GATHER_COST = gather_cost
        forward_backward(FORMULATIONS["nce own"], case)

    try:
        runs = {"counted": lambda: forced(float("inf")), "gathered": lambda: forced(0)}
        return median_seconds(runs, repeats, ROUTE_ENOUGH_S)
    finally:
        keys.GATHER_COST = chosen


def routes(repeats: int) -> list[dict[str, float | str]]:
    return [
        {
            "samples": samples,
            "negatives": negatives,
            **route_seconds(samples, negatives, repeats),
            "chosen": "gathered" if negatives * keys.GATHER_COST < samples else "counted",
        }
        for samples in ROUTE_SAMPLES
        for negatives in ROUTE_NEGATIVES
        if negatives < samples
    ]


def measure(repeats: int) -> dict:
    return {
        "header": header(
            sizes="B 64, S 16384, N 50000, E 128, M 4, all 12 ordered pairs, 100 classes, float32",
            method=f"forward and backward; median of {repeats} alternating repeats after one untimed "
            f"(routes: fewer where they took {ROUTE_ENOUGH_S} s); memory from one pass in a fresh process",
        ),
        "peak_bytes": peaks(),
        "seconds": compare(repeats),
        "few": compare_few(max(repeats, FEW_REPEATS)),
        "agreement_sizes": AGREEMENT_SIZES,
        "agreement": agreement(),
        "half_precision": half_precision(repeats),
        "routes": routes(repeats),
    }


def main() -> None:
    options_of = parser("Time and memory of the multi-view contrast.")
    options_of.add_argument("--peak-of", choices=FORMULATIONS, help=argparse.SUPPRESS)
    options = options_of.parse_args()
    if options.peak_of:
        print(peak_of_this_process(options.peak_of))
        return
    report = measure(options.repeats)
    write = contrast_report.write_section if options.write else None
    give(report, "contrast", contrast_report.comparison_text(report), json_file=options.json, write=write)


if __name__ == "__main__":
    main()
