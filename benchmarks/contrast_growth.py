"""Growth of the time and memory of the multi-view contrast with N, S, M and B, with fitted exponents.

    python benchmarks/contrast_growth.py [--json FILE]

Each point is measured in a separate process. Needs about 8 GB of memory and half an hour on two CPU cores. Runs on a
GPU if there is one.
"""

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np

from contrast_cases import KINDS, draw_case, forward_backward, ours
from measuring import MIB, give, header, memory_mark
from peerdistill.study.timing import seconds

AXES = {
    "samples": (20_000, 50_000, 100_000, 200_000, 500_000, 1_281_167),
    "negatives": (256, 1024, 4096, 16_384, 32_768, 65_536),
    "peers": (2, 3, 4, 6, 8),
    "batch": (16, 32, 64, 128, 256, 512),
}
SIZES = {"samples": 50_000, "negatives": 16_384, "peers": 4, "batch": 64}
REPEATS = 4
LARGEST = 4  # points used for the fit; the others are dominated by the fixed cost of a step


def point_of_this_process(kind: str, axis: str, value: int) -> dict[str, float]:
    """Bytes by which the first step raises the peak memory, and seconds of the fastest of the following steps."""
    formulation = partial(ours, kind)
    forward_backward(formulation, draw_case(batch=2, negatives=8, samples=100))  # one-time set-up
    case = draw_case(**{**SIZES, axis: value})
    before = memory_mark()
    forward_backward(formulation, case)
    peak = memory_mark() - before
    took = [seconds(partial(forward_backward, formulation, case)) for _ in range(REPEATS)]
    return {"peak_bytes": peak, "seconds": min(took)}


def measure_point(kind: str, axis: str, value: int) -> dict:
    command = [sys.executable, __file__, "--point", kind, axis, str(value)]
    found = json.loads(subprocess.check_output(command, text=True))
    progress = f"{kind:7} {axis:10} {value:8} {found['seconds']:8.3f} s {found['peak_bytes'] / MIB:7.0f} MiB"
    print(progress, file=sys.stderr, flush=True)
    return {"kind": kind, "axis": axis, "value": value, **found}


def exponent(values: list[float], measured: list[float]) -> float:
    """Return p of the power law ``measured = c * value^p`` fitted to the largest values."""
    logs = np.log(values[-LARGEST:]), np.log(np.maximum(measured[-LARGEST:], 1e-9))
    return float(np.polyfit(*logs, 1)[0])


def fitted(points: list[dict]) -> list[dict]:
    rows = []
    for kind in KINDS:
        for axis, values in AXES.items():
            measured = [point for point in points if (point["kind"], point["axis"]) == (kind, axis)]
            exponents = {
                name: exponent(list(values), [point[name] for point in measured]) for name in ("seconds", "peak_bytes")
            }
            rows.append({"kind": kind, "axis": axis, **exponents})
    return rows


def measure() -> dict:
    points = [measure_point(kind, axis, value) for axis, values in AXES.items() for kind in KINDS for value in values]
    sizes = "where they do not vary: N 50000, S 16384, M 4, B 64; E 128, all ordered pairs, 100 classes, float32"
    method = (
        f"each point in a fresh process: memory from its first step, seconds of the fastest of {REPEATS} more; "
        f"exponents of power laws through the {LARGEST} largest values of each axis"
    )
    return {"header": header(sizes, method), "points": points, **growth(points)}


def growth(points: list[dict]) -> dict[str, list[dict]]:
    """Return a row of exponents for each kind of negatives, of time and of memory, and the largest N's steps."""
    rows = fitted(points)
    tables = {
        f"{name}_exponents": [
            {"kind": kind, **{row["axis"]: row[name] for row in rows if row["kind"] == kind}} for kind in KINDS
        ]
        for name in ("seconds", "peak_bytes")
    }
    largest = max(AXES["samples"])
    at_largest = [point for point in points if point["axis"] == "samples" and point["value"] == largest]
    return {**tables, "at_largest": [point | {"mib": point["peak_bytes"] / MIB} for point in at_largest]}


def main() -> None:
    parser = argparse.ArgumentParser(description="Growth of the multi-view contrast.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    parser.add_argument("--point", nargs=3, metavar=("KIND", "AXIS", "VALUE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        kind, axis, value = options.point
        print(json.dumps(point_of_this_process(kind, axis, int(value))))
        return
    give(measure(), options)


if __name__ == "__main__":
    main()
