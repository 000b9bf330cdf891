"""Training steps on a GPU: what peers cost there, what the time is spent on, and whether losses are those of a CPU.

    python benchmarks/gpu.py [--minutes 10] [--smoke] [--json FILE]

Needs the package, PyTorch and an NVIDIA GPU. The measurements are in order of importance: one that no longer fits into
the minutes is skipped and listed in ``skipped``. The file of ``--json`` is written after each measurement, and a
measurement that fails does not end the others. ``--smoke`` tries the program in seconds, also on a CPU: one measurement
of each kind with tiny networks, whose figures mean nothing.

Every step is one of the package's own ``Learner``: forward pass, loss, backward pass, optimizer.

Axes: M peers.
"""

import argparse
import copy
import gc
import inspect
import json
import os
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import torch
from lightning_fabric import seed_everything
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from measuring import DEVICE, MIB, give, header, parser, synchronise
from peerdistill import Cohort, methods, terms
from peerdistill.cohort import CohortOutput
from peerdistill.contrast import ContrastOptions
from peerdistill.contrast.options import Negatives
from peerdistill.data import Augmentation, Dataset, train_batches
from peerdistill.data.batches import Batch
from peerdistill.data.dataset import ArraySplit
from peerdistill.errors import PeerdistillWarning
from peerdistill.shares import WHOLE, Share
from peerdistill.study.timing import median_seconds
from peerdistill.training import TrainingConfig
from peerdistill.training.learner import Learner
from peerdistill.training.loss_meter import LossMeter
from peerdistill.training.parallel import fabric_for
from training_step import AFTER_RAMPS

ON_GPU = DEVICE.type == "cuda"
LOG_EVERY = 20  # steps between reads of the loss, the default of a training
PROFILED_STEPS = 3


class Size(NamedTuple):
    """Sizes of a training."""

    name: str
    backbone: str
    classes: int
    samples: int
    batch: int
    image_size: int = 32


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


class Peers(NamedTuple):
    """A method and its number of peers."""

    method: str
    peers: int
    negatives: Negatives = "own"

    def __str__(self) -> str:
        if self.peers == 1:
            return "single network"
        return f"{self.method}, {self.peers} branches{', shared' if self.negatives == 'shared' else ''}"

    @property
    def options(self) -> dict[str, Any]:
        """Options of the method."""
        return {"contrast": ContrastOptions(negatives=self.negatives)} if self.method == "mcl-okd" else {}


SINGLE, TWO, FOUR = Peers("baseline", 1), Peers("mcl-okd", 2), Peers("mcl-okd", 4)
SHARED = Peers("mcl-okd", 4, "shared")


class Way(NamedTuple):
    """A way to run a step: options of the training, and whether the networks are compiled."""

    options: dict[str, Any]
    compiled: bool = False


EAGER, BEST = "eager", "graphs, bf16, channels_last"
_PLAIN = {"memory_format": "contiguous", "cuda_graphs": "off"}
_BF16 = {"precision": "bf16-mixed"}
_LAST = {"memory_format": "channels_last"}
_GRAPHS = {"cuda_graphs": "auto"}
WAYS = {
    EAGER: Way(_PLAIN),
    "channels_last": Way(_PLAIN | _LAST),
    "bf16": Way(_PLAIN | _BF16),
    "bf16, channels_last": Way(_PLAIN | _BF16 | _LAST),
    "graphs": Way(_PLAIN | _GRAPHS),
    "graphs, channels_last": Way(_PLAIN | _LAST | _GRAPHS),
    BEST: Way(_PLAIN | _BF16 | _LAST | _GRAPHS),
    "compiled": Way(_PLAIN, compiled=True),
    "graphs, compiled": Way(_PLAIN | _GRAPHS, compiled=True),
}


class Training:
    """Steps of a training on batches of noise."""

    def __init__(self, size: Size, peers: Peers, way: str = EAGER):
        seed_everything(0, verbose=False)
        self.config = config = TrainingConfig(batch_size=size.batch, **WAYS[way].options)
        fabric = fabric_for("auto", config.precision)
        fabric.launch()
        share = Share(fabric.global_rank, fabric.world_size)
        with DEVICE:  # the bank of ImageNet is drawn where it stays
            labels = torch.arange(size.samples) % size.classes
            sharing = "network" if peers.peers == 1 else "branch"
            self.cohort = Cohort(size.backbone, size.classes, peers.peers, sharing, image_size=size.image_size)
            self.method = methods.build(peers.method, self.cohort, train_labels=labels, **peers.options)
            self.batches = [_noise(size, labels, share) for _ in range(2)]
        self.method.start_epoch(AFTER_RAMPS)
        if WAYS[way].compiled:
            _compile(self.cohort)
        self.learner = Learner(self.cohort, self.method, config=config, fabric=fabric, steps=10**6)
        self.optimizer_steps = 0
        self.size = size

    def step(self, batch: Batch | None = None) -> terms.Loss:
        self.optimizer_steps += 1
        batch = batch or self.batches[self.optimizer_steps % len(self.batches)]
        return self.learner.step([batch], self.optimizer_steps)

    def steps(self, number: int) -> None:
        """Take steps, and wait for the device after the last one."""
        for _ in range(number):
            self.step()
        synchronise()


def _noise(size: Size, labels: Tensor, share: Share = WHOLE) -> Batch:
    indices = torch.randperm(size.samples)[: size.batch]
    images = torch.randn(size.batch, 3, size.image_size, size.image_size)
    return Batch(images[share.of(size.batch)], labels[indices], indices)


def _compile(cohort: Cohort) -> None:
    """Compile each stage: the cohort as a whole can't be compiled."""
    torch._dynamo.reset()
    for network in cohort.networks:
        for stage in cohort.backbone.stages:
            for module in stage.modules:
                network.get_submodule(module).compile(dynamic=False)


@contextmanager
def _freed() -> Iterator[None]:
    """Free the memory of what was measured."""
    try:
        yield
    finally:
        gc.collect()
        if ON_GPU:
            torch.cuda.empty_cache()


def timed(size: Size, peers: Peers, way: str, scale: Scale, repeats: int) -> dict[str, Any]:
    """Return milliseconds of a step, and the peak memory that the training adds."""
    with _freed():
        before = _start_of_memory()
        training = Training(size, peers, way)
        training.steps(scale.warm_up)
        took = median_seconds({way: partial(training.steps, scale.burst)}, repeats)[way]
        peak = (torch.cuda.max_memory_allocated() - before) / MIB if ON_GPU else None
        return {"ms": 1e3 * took / scale.burst, "peak_mib": peak}


def _start_of_memory() -> int:
    """Return the bytes in use, and count the peak from now on."""
    if not ON_GPU:
        return 0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def beside_single(size: Size, way: str, scale: Scale, repeats: int, of: Iterable[Peers]) -> list[dict]:
    """Return a row for the single network and for peers, with the ratio of their steps."""
    single = timed(size, SINGLE, way, scale, repeats)
    found = {SINGLE: single} | {peers: timed(size, peers, way, scale, repeats) for peers in of}
    sizes = {"size": size.name, "network": size.backbone, "batch": size.batch, "way": way}
    return [
        {**sizes, "peers": str(peers), "over_single": row["ms"] / single["ms"], **row} for peers, row in found.items()
    ]


def kernels_of(size: Size, peers: Peers, way: str, scale: Scale) -> dict[str, Any]:
    """Return the number of kernels and launches of a step and the time that the GPU is busy, by part of the step."""
    with _freed():
        training = Training(size, peers, way)
        training.steps(scale.warm_up)
        wall = median_seconds({way: partial(training.steps, scale.burst)}, 3)[way] / scale.burst
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
        "wall_ms": 1e3 * wall,
        **_of_device(profiled.events(), PROFILED_STEPS, wall),
        "parts": _by_part(profiled.events(), PROFILED_STEPS) if parts else {},
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


_RANGE = "part of the step: "
_LAUNCHES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")
_WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize")


def _of_device(events: Iterable[Any], steps: int, wall: float) -> dict[str, float]:
    """Return counts of a step, and the milliseconds in which at least one kernel runs."""
    events = list(events)
    marks = (_RANGE, "Optimizer.")
    on_device = [event for event in events if event.device_type == DeviceType.CUDA and not event.name.startswith(marks)]
    busy = length_of_union((event.time_range.start, event.time_range.end) for event in on_device) / steps / 1e3
    on_host = [event.name for event in events if event.device_type == DeviceType.CPU]
    return {
        "kernels": len(on_device) / steps,
        "launches": sum(name.startswith(_LAUNCHES) for name in on_host) / steps,
        "waits": sum(name.startswith(_WAITS) for name in on_host) / steps,
        "busy_ms": busy,
        "busy_share": busy / (1e3 * wall),
    }


def length_of_union(intervals: Iterable[tuple[float, float]]) -> float:
    """Return the length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def _by_part(events: Iterable[Any], steps: int) -> dict[str, dict[str, float]]:
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


def agreement(size: Size) -> list[dict[str, Any]]:
    """Return losses and gradients of each method beside those of a CPU, from the same weights and images.

    Negatives are not drawn: all samples of other classes are.
    """
    return [_agreement_of(name, size) for name in methods.names()]


def _agreement_of(name: str, size: Size) -> dict[str, Any]:
    seed_everything(0, verbose=False)
    card = methods.find(name)
    labels = torch.arange(size.samples) % size.classes
    images = {"image_size": size.image_size}
    cohort = Cohort(size.backbone, size.classes, **{"peers": 4, "sharing": card.sharings[0], **card.cohort}, **images)
    options: dict[str, Any] = {}
    if card.needs_teacher:
        options["teacher"] = terms.Teacher(Cohort(size.backbone, size.classes, 1, "network", **images))
    contrast = inspect.signature(card.build).parameters.get("contrast")
    if contrast is not None:
        options["contrast"] = replace(contrast.default, negatives="all")
    method = methods.build(name, cohort, train_labels=labels, **options)
    method.start_epoch(AFTER_RAMPS)
    batch = _noise(size, labels)
    expected = _loss_and_gradient(cohort, method, batch, torch.device("cpu"))
    row: dict[str, Any] = {"method": name, "loss_cpu": expected[0]}
    for precision, tf32 in (("tf32", True), ("float32", False)):
        with _tf32(allowed=tf32):
            loss, gradient = _loss_and_gradient(cohort, method, batch, DEVICE)
        row[f"loss_{precision}"] = abs(loss - expected[0]) / abs(expected[0])
        row[f"gradient_{precision}"] = float((gradient - expected[1]).norm() / expected[1].norm())
    return row


@contextmanager
def _tf32(*, allowed: bool) -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def _loss_and_gradient(
    cohort: Cohort, method: terms.Method, batch: Batch, device: torch.device
) -> tuple[float, Tensor]:
    """Return the loss of copies on a device, and the gradient of the peers' weights."""
    cohort, method = copy.deepcopy((cohort, method))
    cohort.to(device)
    method.to(device)
    out: CohortOutput = cohort(batch.images.to(device))
    total = method(out, batch.labels.to(device), batch.indices.to(device)).total
    total.backward()
    gradients = [one.grad.flatten() for one in cohort.parameters() if one.grad is not None]
    return total.item(), torch.cat(gradients).double().cpu()


def epoch(size: Size, peers: Peers, way: str, scale: Scale) -> dict[str, Any]:
    """Return seconds of an epoch with the package's own loader, from its first steps after the warm-up."""
    with _freed():
        training = Training(size, peers, way)
        batches = train_batches(
            (data := _images(size)).train,
            data,
            batch_size=size.batch,
            augmentation=Augmentation(min(4, size.image_size // 2)),
            seed=0,
            device=DEVICE,
            workers=0,
        )
        coming = (batch for number in count() for batch in batches.epoch(number))
        for batch, _ in zip(coming, range(scale.warm_up), strict=False):
            training.step(batch)
        synchronise()
        started, meter = time.perf_counter(), LossMeter()
        for number in range(1, scale.epoch_steps + 1):
            loss = training.step(next(coming))
            meter.add(loss.total, loss.parts)
            if number % LOG_EVERY == 0:
                meter.read(number)
        synchronise()
        took = (time.perf_counter() - started) / scale.epoch_steps
    return {
        "size": size.name,
        "way": way,
        "peers": str(peers),
        "timed_steps": scale.epoch_steps,
        "ms": 1e3 * took,
        "images_per_second": size.batch / took,
        "epoch_s": took * batches.steps_per_epoch,
    }


def _images(size: Size) -> Dataset:
    pixels = torch.randint(0, 256, (size.samples, 3, size.image_size, size.image_size), dtype=torch.uint8)
    split = ArraySplit(pixels, torch.arange(size.samples) % size.classes)
    names = tuple(map(str, range(size.classes)))
    half = (0.5, 0.5, 0.5)
    return Dataset("noise", names, 3, size.image_size, 1.0, half, half, split, None, None, fingerprint="")


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

    def kernels(peers: Peers, way: str) -> Measurement:
        rows = partial(kernels_of, scale.paper, peers, way, scale)
        return Measurement("kernels", f"{peers}, {way}", 6, lambda: [rows()])

    def epochs(peers: Peers, way: str) -> Measurement:
        rows = partial(epoch, scale.paper, peers, way, scale)
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
        steps(scale.paper, BEST),
        kernels(FOUR, EAGER),
        kernels(SINGLE, EAGER),
        kernels(FOUR, "graphs"),
        kernels(SHARED, EAGER),
        Measurement("agreement", "losses of all methods", 15, partial(agreement, scale.small)),
        epochs(FOUR, EAGER),
        epochs(FOUR, BEST),
        epochs(SINGLE, BEST),
        steps(scale.small, EAGER),
        steps(scale.small, "graphs"),
        steps(scale.paper, "graphs, channels_last"),
        large(smallest, EAGER),
        large(smallest, BEST),
        steps(scale.paper, "channels_last"),
        steps(scale.paper, "bf16"),
        steps(scale.paper, "bf16, channels_last"),
        steps(scale.small, "bf16, channels_last"),
        steps(scale.small, BEST),
        kernels(SINGLE, "graphs"),
        epochs(SINGLE, EAGER),
        *(large(batch, BEST) for batch in larger),
        *(large(batch, EAGER) for batch in larger),
        *many,
        steps(scale.paper, "compiled", 90),
        steps(scale.paper, "graphs, compiled", 60),
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


def summary(report: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a short table."""
    for row in (*report["steps"], *report["large"]):
        memory = "" if row["peak_mib"] is None else f"{row['peak_mib']:7.0f} MiB"
        yield (
            f"{row['size']:8} {row['way']:28} b{row['batch']:<4} {row['peers']:27} {row['ms']:8.2f} ms "
            f"{row['over_single']:5.2f} x single {memory}"
        )
    for row in report["kernels"]:
        parts = ", ".join(f"{name} {part['kernels']:.0f}/{part['ms']:.2f}" for name, part in row["parts"].items())
        yield (
            f"kernels {row['way']:20} {row['peers']:27} {row['kernels']:6.0f} kernels {row['launches']:6.0f} launches "
            f"{row['waits']:.1f} waits, busy {row['busy_ms']:.2f} of {row['wall_ms']:.2f} ms ({row['busy_share']:.0%})"
            f"; kernels/ms: {parts}"
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
    tables = ("steps", "large", "kernels", "agreement", "epochs", "devices", "skipped", "failed")
    report: dict[str, Any] = {"header": about, **{table: [] for table in tables}}
    # A step that is not a graph must not be measured as one.
    warnings.filterwarnings("error", message=r".*can't be a CUDA graph", category=PeerdistillWarning)
    planned = measurements(scale, repeats)
    if options.smoke:
        planned = list({one.table: one for one in reversed(planned)}.values())[::-1]
    measure(planned, options.minutes, report, options)
    give(report, options)
    print(*summary(report), sep="\n", file=sys.stderr)
    return bool(report["failed"])


if __name__ == "__main__":
    sys.exit(main())
