"""Training steps on a GPU: what peers cost there, what the time is spent on, and whether losses are those of a CPU.

    python benchmarks/gpu.py [--minutes 10] [--smoke] [--json FILE]

Needs the package, PyTorch and an NVIDIA GPU. The measurements are in order of importance: one that no longer fits into
the minutes is skipped and listed in ``skipped``. The file of ``--json`` is written after each measurement, and a
measurement that fails does not end the others. ``--smoke`` tries the program in seconds, also on a CPU: one measurement
of each kind with tiny networks, whose figures mean nothing.

Every step is one of the package's own ``Learner``: forward pass, loss, backward pass, optimizer.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch

from gpu_agreement import agreement
from gpu_epoch import epoch
from gpu_kernels import kernels_of
from gpu_lanes import beside_one_stream
from gpu_training import BEST, EAGER, FOUR, ON_GPU, SHARED, SINGLE, TWO, Peers, Size, Training, start_of_memory
from measuring import MIB, give, header, parser
from peerdistill.errors import PeerdistillWarning
from peerdistill.study.timing import median_seconds


class Scale(NamedTuple):
    """How much is measured."""

    paper: Size
    small: Size
    large: Size
    large_batches: tuple[int, ...]
    warm_up: int  # a CUDA graph is captured in the first steps
    burst: int  # steps without waiting for the device, as in a training
    epoch_steps: int


FULL = Scale(
    paper=Size("paper", "resnet32", 100, 50_000, 64),
    small=Size("cifar20", "resnet20", 20, 2_000, 64),
    large=Size("imagenet", "resnet34", 1000, 1_281_167, 64, image_size=224),
    large_batches=(64, 128, 256),
    warm_up=12,
    burst=8,
    epoch_steps=100,
)
SMOKE = Scale(
    paper=Size("paper", "resnet8", 10, 60, 4, image_size=8),
    small=Size("cifar20", "resnet8", 5, 40, 4, image_size=8),
    large=Size("imagenet", "resnet8", 10, 60, 4, image_size=8),
    large_batches=(4, 6),
    warm_up=1,
    burst=1,
    epoch_steps=3,
)


def timed(size: Size, peers: Peers, way: str, scale: Scale, repeats: int) -> dict[str, Any]:
    """Return milliseconds of a step, and the peak memory that the training adds."""
    before = start_of_memory()
    training = Training(size, peers, way)
    training.steps(scale.warm_up)
    took = median_seconds({way: partial(training.steps, scale.burst)}, repeats)[way]
    peak = (torch.cuda.max_memory_allocated() - before) / MIB if ON_GPU else None
    return {"ms": 1e3 * took / scale.burst, "peak_mib": peak}


def beside_single(size: Size, way: str, scale: Scale, repeats: int, of: Iterable[Peers]) -> list[dict]:
    """Return a row for the single network and for peers, with the ratio of their steps."""
    single = timed(size, SINGLE, way, scale, repeats)
    found = {SINGLE: single} | {peers: timed(size, peers, way, scale, repeats) for peers in of}
    sizes = {"size": size.name, "network": size.backbone, "batch": size.batch, "way": way}
    return [
        {**sizes, "peers": str(peers), "over_single": row["ms"] / single["ms"], **row} for peers, row in found.items()
    ]


def devices(scale: Scale) -> list[dict[str, Any]]:
    """Return a row for 1, 2, 4, ... GPUs with the paper's batch on each."""
    rows = []
    while 2 ** len(rows) <= torch.cuda.device_count():
        processes = 2 ** len(rows)
        launcher = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}", "--standalone"]
        found = subprocess.check_output([*launcher, __file__, "--worker", *["--smoke"] * (scale is SMOKE)], text=True)
        rows.append({"devices": processes, **json.loads(found.splitlines()[-1])})
    return rows


def work(scale: Scale, repeats: int) -> None:
    """Print the time of a step of the processes that train together; this is one of them."""
    processes = int(os.environ["WORLD_SIZE"])
    size = scale.paper._replace(batch=scale.paper.batch * processes)
    row = timed(size, FOUR, EAGER, scale, repeats)
    if os.environ["RANK"] == "0":
        print(json.dumps({**row, "images_per_second": 1e3 * size.batch / row["ms"]}))


class Measurement(NamedTuple):
    """Rows of one table of the report.

    Attributes:
        table: Name of the table.
        about: What is measured.
        seconds: About how long it takes on a GPU.
        rows: Measures them.
    """

    table: str
    about: str
    seconds: float
    rows: Callable[[], list[dict]]


def measurements(scale: Scale, repeats: int) -> list[Measurement]:
    """Return everything that is measured, the most important first."""

    def steps(size: Size, way: str, seconds: float = 6) -> Measurement:
        return Measurement(
            "steps",
            f"{size.name}, {way}",
            seconds,
            partial(beside_single, size, way, scale, repeats, (TWO, FOUR, SHARED)),
        )

    def lanes(size: Size, way: str) -> Measurement:
        time_of = partial(timed, size, way=way, scale=scale, repeats=repeats)
        about = {"size": size.name, "way": way}
        return Measurement(
            "lanes",
            f"{size.name}, {way}",
            8,
            lambda: [about | row for row in beside_one_stream(time_of, SINGLE, (TWO, FOUR))],
        )

    def kernels(peers: Peers, way: str) -> Measurement:
        rows = partial(kernels_of, scale.paper, peers, way, warm_up=scale.warm_up)
        return Measurement("kernels", f"{peers}, {way}", 6, lambda: [rows()])

    def epochs(peers: Peers, way: str) -> Measurement:
        rows = partial(epoch, scale.paper, peers, way, warm_up=scale.warm_up, steps=scale.epoch_steps)
        return Measurement("epochs", f"{peers}, {way}", 6, lambda: [rows()])

    def large(batch: int, way: str) -> Measurement:
        size = scale.large._replace(batch=batch)
        rows = partial(beside_single, size, way, scale, repeats, (FOUR,))
        return Measurement("large", f"{size.backbone}, batch {batch}, {way}", 12, rows)

    smallest, *larger = scale.large_batches
    many = [Measurement("devices", "1 to N", 60, partial(devices, scale))] if torch.cuda.device_count() > 1 else []
    return [
        steps(scale.paper, EAGER),
        steps(scale.paper, "graphs"),
        steps(scale.paper, "graphs, channels_last"),
        steps(scale.paper, BEST),
        lanes(scale.paper, BEST),
        lanes(scale.small, BEST),
        large(smallest, BEST),
        epochs(FOUR, BEST),
        epochs(SINGLE, BEST),
        steps(scale.small, "graphs, channels_last"),
        steps(scale.small, EAGER),
        large(smallest, EAGER),
        Measurement("agreement", "losses of all methods", 20, partial(agreement, scale.small)),
        epochs(FOUR, EAGER),
        steps(scale.small, "graphs"),
        steps(scale.small, BEST),
        steps(scale.paper, "channels_last"),
        steps(scale.paper, "bf16"),
        steps(scale.paper, "bf16, channels_last"),
        steps(scale.small, "bf16, channels_last"),
        epochs(SINGLE, EAGER),
        *(large(batch, BEST) for batch in larger),
        *(large(batch, EAGER) for batch in larger),
        steps(scale.paper, "compiled", 90),
        steps(scale.paper, "graphs, compiled", 60),
        *many,
        # They slow down what comes after them.
        kernels(FOUR, "graphs, channels_last"),
        kernels(FOUR, EAGER),
        kernels(SINGLE, EAGER),
        kernels(SHARED, EAGER),
        kernels(FOUR, "graphs"),
        kernels(FOUR, BEST),
    ]


def measure(
    planned: Iterable[Measurement], minutes: float, report: dict[str, Any], options: argparse.Namespace
) -> None:
    """Add the tables to a report, which is written after each measurement."""
    ends = time.monotonic() + 60 * minutes
    for one in planned:
        if time.monotonic() + one.seconds > ends:
            report["skipped"].append(f"{one.table}: {one.about}")
            continue
        started = time.monotonic()
        try:
            report[one.table].extend(one.rows())
        except Exception as error:  # the machine may be there only once: the other figures count
            traceback.print_exc()
            report["failed"].append(f"{one.table}: {one.about}: {type(error).__name__}: {error}"[:300])
        print(f"{one.table}: {one.about}: {time.monotonic() - started:.1f} s", file=sys.stderr)
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n")


def add_step_times(report: dict[str, Any]) -> None:
    """Put the time of the same step, where it was measured, beside the kernels."""
    took = {(row["size"], row["way"], row["peers"]): row["ms"] for row in report["steps"]}
    for row in report["kernels"]:
        ms = took.get((row["size"], row["way"], row["peers"]))
        row["step_ms"] = ms
        row["busy_share"] = ms and row["busy_ms"] / ms
        row["us_per_kernel"] = ms and 1e3 * ms / max(row["kernels"], 1)


def summary(report: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a short table."""
    for row in (*report["steps"], *report["large"]):
        memory = "" if row["peak_mib"] is None else f"{row['peak_mib']:7.0f} MiB"
        yield (
            f"{row['size']:8} {row['way']:28} b{row['batch']:<4} {row['peers']:27} {row['ms']:8.2f} ms "
            f"{row['over_single']:5.2f} x single {memory}"
        )
    for row in report["lanes"]:
        before = f"{row['one_stream_ms']:.2f} ms ({row['one_stream_over_single']:.2f} x single) in one stream"
        now = f"{row['ms']:.2f} ms ({row['over_single']:.2f}) side by side"
        yield f"lanes   {row['size']:8} {row['peers']:27} {before}, {now}"
    for row in report["kernels"]:
        parts = ", ".join(f"{name} {part['kernels']:.0f}/{part['ms']:.2f}" for name, part in row["parts"].items())
        of_step = "" if row["step_ms"] is None else f" of {row['step_ms']:.2f} ({row['busy_share']:.0%})"
        yield (
            f"kernels {row['way']:28} {row['peers']:27} {row['kernels']:6.0f} kernels {row['launches']:6.0f} launches "
            f"{row['waits']:.1f} waits, busy {row['busy_ms']:.2f} ms{of_step}; kernels/ms: {parts}"
        )
    for row in report["agreement"]:
        figures = "  ".join(f"{name} {row[name]:.1e}" for name in row if name not in ("method", "loss_cpu"))
        yield f"against the CPU: {row['method']:9} {figures}"
    for row in report["epochs"]:
        speed = f"{row['epoch_s']:7.2f} s, {row['images_per_second']:.0f} images/s"
        yield f"epoch   {row['way']:28} {row['peers']:27} {speed}"
    for row in report["devices"]:
        yield f"devices {row['devices']:3} {row['ms']:8.2f} ms, {row['images_per_second']:.0f} images/s"
    for what in ("skipped", "failed"):
        yield from (f"{what}: {line}" for line in report[what])


def main() -> int:
    options_of = parser("Training steps on a GPU.")
    options_of.add_argument("--minutes", type=float, default=10.0, help="skip what takes longer than this in total")
    options_of.add_argument("--smoke", action="store_true", help="try the program with tiny networks, also on a CPU")
    options_of.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = options_of.parse_args()
    if not (ON_GPU or options.smoke):
        options_of.error("no GPU found: --smoke tries the program on a CPU")
    scale, repeats = (SMOKE, 1) if options.smoke else (FULL, options.repeats)
    if options.worker:
        work(scale, repeats)
        return 0
    about = header(
        sizes=f"{scale.paper.backbone}, {scale.paper.classes} classes, N {scale.paper.samples} (paper); "
        f"{scale.small.backbone}, {scale.small.classes} classes, N {scale.small.samples} (cifar20); "
        f"{scale.large.backbone}, {scale.large.classes} classes, N {scale.large.samples} (imagenet)",
        method=f"median of {repeats} bursts of {scale.burst} steps after {scale.warm_up} untimed; "
        "float32 with TF32 convolutions unless it says bf16",
    )
    tables = ("steps", "lanes", "large", "kernels", "agreement", "epochs", "devices", "skipped", "failed")
    report: dict[str, Any] = {"header": about, **{table: [] for table in tables}}
    # A step that is not a graph must not be measured as one.
    warnings.filterwarnings("error", message=r".*can't be a CUDA graph", category=PeerdistillWarning)
    planned = measurements(scale, repeats)
    if options.smoke:
        planned = list({one.table: one for one in reversed(planned)}.values())[::-1]
    measure(planned, options.minutes, report, options)
    add_step_times(report)
    give(report, options)
    print(*summary(report), sep="\n", file=sys.stderr)
    return bool(report["failed"])


if __name__ == "__main__":
    sys.exit(main())
