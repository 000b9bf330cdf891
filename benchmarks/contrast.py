"""Time and memory of the multi-view contrast for each source of negatives, beside a plain formulation.

    python benchmarks/contrast.py [--repeats 5] [--json FILE]

Takes a few minutes on two CPU cores. Runs on a GPU if there is one. contrast_growth.py measures how the cost grows.
"""

import argparse
import subprocess
import sys
from functools import partial

import torch
from torch.nn import functional as F

from contrast_cases import KINDS, Case, draw_case, forward_backward, gathered, gathered_kind, ours, two_products
from measuring import MIB, give, header, memory_mark, parser, target
from peerdistill.contrast import keys, options, score_blocks
from peerdistill.study.timing import median_seconds

OBJECTIVES = ("nce", "softmax")
# Negatives per anchor; "all" has those of 99 of 100 classes.
SCORED = {"plain": 16_384, "own": 16_384, "shared": 16_384, "all": 49_500, "queue": 16_384}
# Targets: this many times as fast as the plain formulation, and this many times less memory.
TIMES_AS_FAST, TIMES_LESS = {"own": 15, "shared": 60, "all": 12}, 20
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
    """Seconds of each formulation at the paper's size, and of the two matrix products alone."""
    case = draw_case()
    runs = {name: partial(forward_backward, formulation, case) for name, formulation in FORMULATIONS.items()}
    samples, negatives = case.banks.shape[1], case.own.shape[1]
    for kind, scored in {"own": samples, "shared": negatives, "all": samples, "queue": negatives}.items():
        runs[f"products {kind}"] = partial(two_products, case, scored)
    return median_seconds(runs, repeats)


def compare_few(repeats: int) -> list[dict[str, float]]:
    """Seconds with few negatives per anchor."""
    rows = []
    for negatives in FEW_NEGATIVES:
        case = draw_case(negatives=negatives)
        names = ("nce gather", "nce own")
        took = median_seconds({name: partial(forward_backward, FORMULATIONS[name], case) for name in names}, repeats)
        rows.append({"negatives": negatives, **took})
    return rows


def peak_of_this_process(name: str) -> int:
    """Bytes by which a forward and backward pass raises the peak memory of the process above that of its inputs."""
    forward_backward(FORMULATIONS[name], draw_case(batch=2, negatives=8, samples=100))  # one-time set-up
    case = draw_case()
    before = memory_mark()
    forward_backward(FORMULATIONS[name], case)
    return memory_mark() - before


def peaks() -> dict[str, int]:
    """Peak extra memory of each formulation, measured in a separate process.

    Call it before this process has grown: on Linux the peak memory of a child starts at that of its parent.
    """
    command = [sys.executable, __file__, "--peak-of"]
    return {name: int(subprocess.check_output([*command, name], text=True)) for name in FORMULATIONS}


def agreement() -> list[dict[str, float | str]]:
    """Relative differences of loss and gradient to the plain formulation in float64."""
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
    """Seconds, loss and gradient with a bank in bfloat16, compared with float32."""
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
    """Seconds of both ways to handle negatives per anchor, whichever would be chosen."""
    case = draw_case(samples=samples, negatives=negatives)
    chosen = keys.GATHER_COST

    def forced(gather_cost: float) -> None:
        keys.GATHER_COST = gather_cost
        forward_backward(FORMULATIONS["nce own"], case)

    try:
        runs = {"counted": lambda: forced(float("inf")), "gathered": lambda: forced(0)}
        return median_seconds(runs, repeats, enough_s=ROUTE_ENOUGH_S)
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
        **comparison(peaks(), compare(repeats)),
        "few": [few_row(row) for row in compare_few(max(repeats, FEW_REPEATS))],
        "agreement_sizes": AGREEMENT_SIZES,
        "agreement": agreement(),
        "half_precision": [half_row(row) for row in half_precision(repeats)],
        "bank_mib": bank_sizes(),
        "routes": [route_row(row) for row in routes(repeats)],
        "limits": limits(),
    }


def comparison(peak_bytes: dict[str, int], took: dict[str, float]) -> dict[str, list[dict]]:
    """Return a row for each kind of negatives beside the plain formulation, and the targets."""
    rows = {}
    for objective in OBJECTIVES:
        plain = f"{objective} gather"
        rows[objective] = [
            {
                "kind": kind,
                "per_anchor": SCORED[kind],
                "seconds": took[name],
                "times_as_fast": took[plain] / took[name],
                "over_products": None if name == plain else took[name] / took[f"products {kind}"],
                "mib": peak_bytes[name] / MIB,
                "times_less": peak_bytes[plain] / max(peak_bytes[name], 1),
            }
            for kind, name in {"plain": plain, **{kind: f"{objective} {kind}" for kind in KINDS}}.items()
        ]
    targets = []
    for row in rows["nce"]:
        if row["kind"] in TIMES_AS_FAST:
            fast = target(row["times_as_fast"], least=TIMES_AS_FAST[row["kind"]])
            small = target(row["times_less"], least=TIMES_LESS)
            reached = fast["reached"] and small["reached"]
            targets.append({"kind": row["kind"], "times_as_fast": fast, "times_less": small, "reached": reached})
    return {**rows, "targets": targets}


def few_row(row: dict[str, float]) -> dict[str, float]:
    plain, own = row["nce gather"], row["nce own"]
    return {"negatives": row["negatives"], "plain_ms": 1e3 * plain, "own_ms": 1e3 * own, "times_as_fast": plain / own}


def half_row(row: dict) -> dict:
    times = row["seconds"]
    return row | {"one_minus_cosine": 1 - row["cosine"], "time_ratio": times["bfloat16"] / times["float32"]}


def bank_sizes() -> list[dict[str, float | str]]:
    """Return the memory of banks and of a queue for 4 peers and E 128, by precision."""
    kept = {"banks, N 50,000": 50_000, "banks, N 1,281,167": 1_281_167, "queue of 16,384": 16_384}
    sizes = {"float32": 4, "bfloat16": 2}
    return [
        {"memory": name, **{dtype: 4 * rows * 128 * size / MIB for dtype, size in sizes.items()}}
        for name, rows in kept.items()
    ]


def route_row(row: dict) -> dict:
    return row | {f"{name}_ms": 1e3 * row[name] for name in ("counted", "gathered")}


def limits() -> dict[str, float]:
    """Return the constants of the code that the documentation states."""
    return {
        "block_mib": keys.CPU_BLOCK_BYTES // MIB,
        "cached_mib": score_blocks.CACHED_BYTES // MIB,
        "float32_temperature": options.FLOAT32_TEMPERATURE,
        "lowest_temperature": options.LOWEST_TEMPERATURE,
    }


def main() -> None:
    accepted = parser("Time and memory of the multi-view contrast.")
    accepted.add_argument("--peak-of", choices=FORMULATIONS, help=argparse.SUPPRESS)
    options_of = accepted.parse_args()
    if options_of.peak_of:
        print(peak_of_this_process(options_of.peak_of))
        return
    give(measure(options_of.repeats), options_of)


if __name__ == "__main__":
    main()
