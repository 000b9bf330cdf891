"""A training step of MCL-OKD beside its networks alone and beside a plain trainer, and where the time goes.

    python benchmarks/step.py [--repeats 5] [--json FILE]

Needs only the package and PyTorch, takes some minutes on two CPU cores, and uses a GPU if there is one.

Axes: M peers, B batch, C classes, S negatives, N samples.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from contrast_cases import Case, gathered
from measuring import DEVICE, give, header, parser, synchronise, target
from peerdistill import Cohort
from peerdistill.contrast import ContrastOptions
from peerdistill.study.timing import median_seconds, seconds
from peers import modules_shared_and_own
from training_step import BACKBONE, BATCH, CLASSES, IMAGE_SIZE, PEERS, SAMPLES, Batch, Step, draw_batch, train_labels

NEGATIVES = 16_384
KINDS = ("own", "shared", "all", "queue")
PROFILED_STEPS = 3
# Targets: at most this many times the networks' time, and at least this many times as fast as the plain step.
TO_NETWORKS = {"shared": 1.15, "own": 1.5}
TO_PLAIN = {"own": 12, "shared": 16}
HALVED = ("float32", "bfloat16")
# Names of kernels in the profiler, by the part of the step.
PARTS = {
    "convolutions": ("mkldnn_convolution", "convolution_backward", "cudnn_convolution"),
    "batch norm": ("native_batch_norm", "native_batch_norm_backward", "cudnn_batch_norm"),
    "activations and sums": ("relu_", "clamp_min_", "threshold_backward", "add", "add_"),
    "optimiser": ("_fused_sgd_",),
}


class PlainStep:
    """The same step as in typical research code, which follows the paper's formulas literally.

    Branches run one after the other in PyTorch's default memory format, negatives are drawn on the CPU, every ordered
    pair gathers a block of bank rows, and the optimiser loops over the weights.
    """

    def __init__(self, batch: Batch):
        torch.manual_seed(0)
        self.batch = batch
        cohort = Cohort(BACKBONE, CLASSES, PEERS, "branch").to(DEVICE)
        shared, own = modules_shared_and_own(cohort)
        self.stem = nn.Sequential(*map(cohort.networks[0].get_submodule, shared))
        self.branches = nn.ModuleList(
            nn.Sequential(*map(network.get_submodule, own), nn.Flatten()) for network in cohort.networks
        )
        self.classifiers = nn.ModuleList(
            network.get_submodule(cohort.backbone.classifier) for network in cohort.networks
        )
        self.heads = nn.ModuleList(nn.Linear(one.in_features, 128) for one in self.classifiers).to(DEVICE)
        self.banks = F.normalize(torch.randn(PEERS, SAMPLES, 128), dim=-1).to(DEVICE)
        self.train_labels = train_labels()
        self.others = [np.flatnonzero(self.train_labels.numpy() != label) for label in range(CLASSES)]
        modules = (self.stem, self.branches, self.classifiers, self.heads)
        self.optimizer = torch.optim.SGD(
            [p for module in modules for p in module.parameters()],
            lr=0.01,
            momentum=0.9,
            nesterov=True,
            weight_decay=5e-4,
        )

    def __call__(self) -> None:
        images, labels, indices = self.batch
        shared = self.stem(images)
        features = [branch(shared) for branch in self.branches]
        logits = [classifier(x) for classifier, x in zip(self.classifiers, features, strict=True)]
        loss = sum((F.cross_entropy(of_peer, labels) for of_peer in logits), images.new_zeros(()))
        ensemble = torch.stack(logits).mean(0).detach()
        loss = loss + 9 * F.kl_div(
            F.log_softmax(logits[-1] / 3, dim=1), F.softmax(ensemble / 3, dim=1), reduction="batchmean"
        )
        embeddings = torch.stack([head(x) for head, x in zip(self.heads, features, strict=True)])
        drawn = np.stack([np.random.choice(self.others[label], NEGATIVES) for label in labels.tolist()])
        own = torch.from_numpy(drawn).to(DEVICE)
        contrast = gathered(Case(embeddings, self.banks, indices, self.train_labels, own))
        (loss + 0.025 * contrast).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        with torch.no_grad():
            for bank, embedding in zip(self.banks, embeddings, strict=True):
                moved = 0.5 * bank[indices] + 0.5 * F.normalize(embedding, dim=-1)
                bank[indices] = F.normalize(moved, dim=-1)
        synchronise()


def compare(batch: Batch, repeats: int) -> dict[str, dict[str, float]]:
    """Return seconds of the steps in three groups, each timed in turns; bfloat16 applies to the networks only."""
    contrast = {kind: ContrastOptions(negatives=kind) for kind in KINDS}
    ours = {kind: Step("mcl-okd", batch, contrast=contrast[kind]) for kind in KINDS}
    halves = {
        kind: Step("mcl-okd", batch, contrast=contrast[kind], precision="bf16-mixed") for kind in ("own", "shared")
    }
    networks = Step("baseline", batch)
    halved_networks = Step("baseline", batch, precision="bf16-mixed")
    plain = PlainStep(batch)
    return {
        "float32": median_seconds({"networks": networks, **ours}, repeats),
        "bfloat16": median_seconds({"networks": halved_networks, **halves}, repeats),
        "plain": median_seconds(
            {"plain": plain, **ours, **{f"{kind}, bfloat16": step for kind, step in halves.items()}}, repeats
        ),
    }


def rows_of(took: dict[str, dict[str, float]]) -> dict:
    """Return a row for each step, and the figures beside their targets."""
    plain = took["plain"]["plain"]
    rows = []
    for precision in ("float32", "bfloat16"):
        for name, spent in took[precision].items():
            beside_plain = took["plain"].get(name if precision == "float32" else f"{name}, {precision}")
            rows.append(
                {
                    "step": name,
                    "precision": precision,
                    "seconds": spent,
                    "over_networks": spent / took[precision]["networks"],
                    "times_as_fast": plain / beside_plain if beside_plain else None,
                }
            )
    rows.append(
        {"step": "plain", "precision": "float32", "seconds": plain, "over_networks": None, "times_as_fast": 1.0}
    )
    found = {(row["step"], row["precision"]): row for row in rows}
    to_networks = [
        {"step": name, **target(found[name, "float32"]["over_networks"], most=most)}
        for name, most in TO_NETWORKS.items()
    ]
    to_plain = [
        {"step": name, **{how: target(found[name, how]["times_as_fast"], least=least) for how in HALVED}}
        for name, least in TO_PLAIN.items()
    ]
    limit = plain / took["float32"]["networks"]
    return {"steps": rows, "to_networks": to_networks, "to_plain": to_plain, "limit": limit}


def profiled(run: Callable[[], object]) -> dict[str, float]:
    """Return the seconds of each kernel in one run."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (DEVICE.type == "cuda")
    run()
    with profile(activities=activities) as of_runs:
        for _ in range(PROFILED_STEPS):
            run()
    kind = "self_device_time_total" if DEVICE.type == "cuda" else "self_cpu_time_total"
    return {
        event.key.removeprefix("aten::"): getattr(event, kind) / PROFILED_STEPS / 1e6
        for event in of_runs.key_averages()
    }


def peaks() -> dict[str, float]:
    """Return this machine's peak rates in float32: of a matrix product, and of a copy of an activation."""
    a, b = torch.randn(2, 2048, 2048, device=DEVICE)
    x = torch.randn(BATCH, 16, IMAGE_SIZE, IMAGE_SIZE, device=DEVICE)
    y = torch.empty_like(x)

    def fastest(run: Callable[[], object], times: int) -> float:
        def once() -> None:
            run()
            synchronise()

        return min(seconds(once) for _ in range(times))

    return {
        "flops": 2 * 2048**3 / fastest(lambda: a @ b, 10),
        "bytes": 2 * x.nbytes / fastest(lambda: y.copy_(x), 50),
    }


def activation_bytes(cohort: Cohort, batch: Batch) -> dict[str, int]:
    """Return the bytes of activations that are read and written, forward and backward, without any cache.

    Batch norm reads its input twice (statistics, then values) and writes once; backward it reads input and gradient
    twice and writes once: 8 times. An in-place ReLU: 2 forward, 3 backward. A sum of two: 3, and 3 for the sum
    of their gradients.
    """
    sizes = {"batch norm": 0, "activations and sums": 0}

    def count(part: str, times: int) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor) -> None:
            sizes[part] += times * output.nbytes

        return hook

    hooks = []
    for module in cohort.modules():
        if isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_hook(count("batch norm", 8)))
        elif isinstance(module, nn.ReLU):
            hooks.append(module.register_forward_hook(count("activations and sums", 5)))
        elif hasattr(module, "shortcut"):
            hooks.append(module.register_forward_hook(count("activations and sums", 6)))
    cohort(batch.images)
    for hook in hooks:
        hook.remove()
    return sizes


def where_time_goes(batch: Batch) -> dict:
    """Return the time of the parts of a step and their lower bounds: FLOPs and bytes at the machine's peak rates."""
    rates = peaks()
    networks = Step("baseline", batch)
    kernels = profiled(networks)
    parts = {part: sum(kernels.pop(name, 0.0) for name in names) for part, names in PARTS.items()}
    parts["all else"] = sum(kernels.values())
    with FlopCounterMode(display=False) as counter:
        networks()
    moved = activation_bytes(networks.cohort, batch)
    weights = sum(p.nbytes for p in networks.cohort.parameters())
    floors = {
        "convolutions": counter.get_total_flops() / rates["flops"],
        # Weight, gradient and momentum are read, weight and momentum written.
        "optimiser": 5 * weights / rates["bytes"],
        **{part: size / rates["bytes"] for part, size in moved.items()},
    }
    rows = [time_row(part, taken, floors.get(part)) for part, taken in parts.items()]
    contrast = [contrast_row(of_contrast(kind, batch), rates) for kind in KINDS]
    peak_rates = {"gflops": rates["flops"] / 1e9, "gbytes": rates["bytes"] / 1e9}
    return {"peaks": peak_rates, "networks": rows, "contrast": contrast}


def time_row(part: str, taken: float, floor: float | None) -> dict:
    """Return a part of the networks' step in milliseconds, beside its lower bound."""
    ms = {"ms": 1e3 * taken, "floor_ms": floor and 1e3 * floor, "over_floor": floor and taken / floor}
    return {"part": part, **ms}


def contrast_row(kind: dict, rates: dict[str, float]) -> dict:
    """Return the parts of the contrast in milliseconds, beside the lower bound of its two products."""
    floor = kind["flops"] / rates["flops"]
    parts = {name: 1e3 * kind[name] for name in ("draws", "products", "between")}
    total = sum(parts.values())
    return {
        "kind": kind["kind"],
        **{f"{name}_ms": ms for name, ms in parts.items()},
        "total_ms": total,
        "floor_ms": 1e3 * floor,
        "over_floor": total / (1e3 * floor),
    }


def of_contrast(kind: str, batch: Batch) -> dict:
    """Return seconds of the contrast's draws, products and the rest, and the FLOPs of the two products."""
    step = Step("mcl-okd", batch, contrast=ContrastOptions(negatives=kind))
    memory = step.method.terms["contrast"].memory
    embeddings = torch.randn(PEERS, BATCH, 128, device=DEVICE)
    drawn = profiled(lambda: memory.lookup(batch.labels, batch.indices))
    found = memory.lookup(batch.labels, batch.indices)
    if kind == "queue":
        for start in range(0, NEGATIVES, BATCH):
            memory.update(embeddings, batch.labels, torch.arange(start, start + BATCH))
    kernels = profiled(lambda: memory.nce(embeddings, **found, temperature=0.1))
    products = sum(kernels.pop(name, 0.0) for name in ("mm", "bmm", "addmm"))
    columns = {"own": SAMPLES, "all": SAMPLES}.get(kind, NEGATIVES)
    pairs = PEERS * (PEERS - 1) * BATCH
    return {
        "kind": kind,
        "draws": sum(drawn.values()),
        "products": products,
        "between": sum(kernels.values()),
        "flops": 2 * 2 * pairs * columns * 128,
    }


def main() -> None:
    options = parser("Time of a training step, and where it goes.").parse_args()
    torch.manual_seed(0)
    batch = draw_batch()
    about = header(
        sizes=f"{BACKBONE}, {PEERS} branches, B {BATCH}, S {NEGATIVES}, N {SAMPLES}, {CLASSES} classes",
        method=f"one step; median of {options.repeats} alternating repeats after one untimed",
    )
    report = {
        "header": about,
        **rows_of(compare(batch, options.repeats)),
        "time": where_time_goes(batch),
    }
    give(report, options)


if __name__ == "__main__":
    main()
