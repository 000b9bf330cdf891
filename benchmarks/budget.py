"""What share of its time budget a run takes: `peerdistill train --budget`, in fresh processes.

    python benchmarks/budget.py [--repeats 1] [--json FILE]

Needs only the package and PyTorch and takes three minutes for each repeat. The data are digits, and noise of the size
of 20 classes of CIFAR-100, with peers and with one network. The times are those of the whole process.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from measuring import give, header, parser, target

LEAST, MOST = 0.85, 1.02
COMMAND = "from peerdistill.cli import entry; entry()"
PEERS = ("--method", "mcl-okd")
CASES = (("digits", "20", ()), ("digits", "45", PEERS), ("noise", "45", ()), ("noise", "60", PEERS))
"""Data, seconds of the budget, further options."""


def write_noise(file: Path) -> str:
    """Write images of the size of 20 classes of CIFAR-100 with 100 images each, and return the name of the data."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (2500, 32, 32, 3), dtype=np.uint8)
    np.savez(file, images=images, labels=np.arange(2500) % 20, class_names=np.array([f"class {n}" for n in range(20)]))
    return f"npz:{file}"


def row_of(data: str, name: str, seconds: str, options: tuple[str, ...], folder: str) -> dict[str, Any]:
    """Return what a run with a budget took."""
    run = tempfile.mkdtemp(dir=folder)
    words = ["train", name, "--backbone", "resnet20", "--budget", f"{seconds}s", "--run", run, *options]
    before = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, text=True, check=False)
    took = time.perf_counter() - before
    if done.returncode:
        raise RuntimeError(done.stderr)
    plan = json.loads(Path(run, "plan.json").read_text())
    return {
        "data": data,
        "method": plan["method"],
        "epochs": plan["epochs"],
        "budget_seconds": plan["budget_seconds"],
        "estimated_seconds": plan["estimated_seconds"],
        "seconds": took,
        "share": took / plan["budget_seconds"],
    }


def measure(repeats: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        names = {"digits": "digits", "noise": write_noise(Path(folder) / "noise.npz")}
        rows = [
            row_of(data, names[data], seconds, options, folder)
            for _ in range(repeats)
            for data, seconds, options in CASES
        ]
    shares = [row["share"] for row in rows]
    return {
        "runs": rows,
        "least_share": target(min(shares), least=LEAST),
        "largest_share": target(max(shares), most=MOST),
    }


def main() -> None:
    options = parser("The share of its time budget that a run takes.", repeats=1).parse_args()
    about = header(
        sizes="resnet20: 1,295 digits of 8 x 8, or 1,800 noise images of 32 x 32; mcl-okd with 4 branches",
        method="seconds of a fresh process, from its start to its end",
    )
    give({"header": about, **measure(options.repeats)}, options)


if __name__ == "__main__":
    main()
