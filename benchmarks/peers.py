"""Ways to run the peers of a cohort: time of forward and backward pass, and the error of the gradient.

    python benchmarks/peers.py [--repeats 5] [--json FILE]

Needs only the package and PyTorch, takes some minutes on two CPU cores, mostly to compile, and uses a GPU if there is
one. Training uses the fastest memory format: ``src/peerdistill/training/memory_format.py``.

Axes: M peers, B batch, C classes, D feature width.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from measuring import DEVICE, give, header, parser, synchronise
from peerdistill import Cohort, backbones
from peerdistill.study.timing import median_seconds, seconds
from training_step import BACKBONE, BATCH, CLASSES, IMAGE_SIZE, PEERS

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
PLAIN_LOOP = ("loop", "contiguous", "float32")
# Networks of each kind, with batch size and image size: one peer, forward and backward.
NETWORKS = (
    ("resnet32", 64, 32),
    ("resnet110", 32, 32),
    ("resnet8x4", 64, 32),
    ("wrn_16_2", 64, 32),
    ("densenet40_12", 32, 32),
    ("hcgnet_a1", 16, 32),
    ("mobilenetv2_half", 64, 32),
    ("shufflenetv1", 64, 32),
    ("conv4", 64, 28),
    ("vgg8", 64, 32),
    ("vgg16", 32, 32),
    ("torchvision:resnet18", 16, 96),
    ("torchvision:mobilenet_v3_small", 16, 96),
    ("torchvision:efficientnet_b0", 8, 96),
)


def modules_shared_and_own(cohort: Cohort) -> tuple[list[str], list[str]]:
    """Return the names of the modules that all peers share, and of those that each peer has."""
    shared, own = [], []
    for stage, copies in zip(cohort.backbone.stages, cohort.copies, strict=True):
        (shared if copies == 1 else own).extend(stage.modules)
    return shared, own


class Loop(nn.Module):
    """The cohort as the package runs it."""

    def __init__(self, cohort: Cohort):
        super().__init__()
        self.cohort = cohort

    def forward(self, images: Tensor) -> Tensor:
        return self.cohort(images).logits


class _Apart(nn.Module):
    """A shared stem, then the branches as ``branches`` runs them, from (B, ...) to features (M, B, D)."""

    def __init__(self, cohort: Cohort):
        super().__init__()
        networks = list(cohort.networks)
        shared, own = modules_shared_and_own(cohort)
        self.stem = nn.Sequential(*(networks[0].get_submodule(name) for name in shared))
        self.apart = [nn.Sequential(*(network.get_submodule(name) for name in own)) for network in networks]
        classifiers = [network.get_submodule(cohort.backbone.classifier) for network in networks]
        self.weight_MCD = nn.Parameter(torch.stack([one.weight.detach() for one in classifiers]))
        self.bias_MC = nn.Parameter(torch.stack([one.bias.detach() for one in classifiers]))

    def branches(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        features_MBD = self.branches(self.stem(images)).flatten(2)
        return torch.baddbmm(self.bias_MC[:, None], features_MBD, self.weight_MCD.mT)


class Stacked(_Apart):
    """Stacked weights of all branches, and one call of ``vmap`` over them."""

    def __init__(self, cohort: Cohort):
        super().__init__(cohort)
        parameters, self.running = stack_module_state(self.apart)
        self.names = list(parameters)
        self.parameters_M = nn.ParameterList(parameters.values())
        self.one = copy.deepcopy(self.apart[0]).to("meta")

    def branches(self, x: Tensor) -> Tensor:
        def run(parameters: dict[str, Tensor], running: dict[str, Tensor]) -> Tensor:
            return functional_call(self.one, (parameters, running), (x,))

        return vmap(run)(dict(zip(self.names, self.parameters_M, strict=True)), self.running)


class Grouped(_Apart):
    """Branches side by side in the channels of one network, with one group of each convolution per branch."""

    def __init__(self, cohort: Cohort):
        super().__init__(cohort)
        self.side_by_side = _grouped(self.apart)
        self.peers = cohort.peers

    def branches(self, x: Tensor) -> Tensor:
        together = self.side_by_side(torch.cat([x] * self.peers, dim=1))  # keeps the memory format
        return together.unflatten(1, (self.peers, -1)).transpose(0, 1)


def _grouped(modules: Sequence[nn.Module]) -> nn.Module:
    """Return one module with all modules side by side in its channels."""
    first, many = modules[0], len(modules)
    if isinstance(first, nn.Conv2d):
        sizes = (first.in_channels * many, first.out_channels * many, first.kernel_size, first.stride, first.padding)
        grouped = nn.Conv2d(*sizes, groups=many, bias=first.bias is not None)
        grouped.load_state_dict(
            {name: torch.cat([m.state_dict()[name] for m in modules]) for name in first.state_dict()}
        )
        return grouped
    if isinstance(first, nn.BatchNorm2d):
        return nn.BatchNorm2d(first.num_features * many)
    grouped = copy.copy(first)
    grouped._modules = {
        name: _grouped([module.get_submodule(name) for module in modules]) for name in dict(first.named_children())
    }
    return grouped


def compiled(cohort: Cohort) -> nn.Module:
    """Return the loop with each stage compiled by inductor, which cannot compile the cohort as a whole."""
    for network in cohort.networks:
        for stage in cohort.backbone.stages:
            for module in stage.modules:
                network.get_submodule(module).compile(dynamic=False)
    return Loop(cohort)


def graphed(cohort: Cohort) -> nn.Module:
    """Return the loop as one CUDA graph for the forward pass and one for the backward pass."""
    loop = Loop(cohort)
    return torch.cuda.make_graphed_callables(loop, (torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE, device=DEVICE),))


WAYS: dict[str, Callable[[Cohort], nn.Module]] = {"loop": Loop, "grouped": Grouped, "stacked": Stacked}


def ways(*, with_compiled: bool) -> dict[tuple[str, str, str], Callable[[Cohort], nn.Module]]:
    """Return all ways by name, memory format and precision."""
    every = {
        (name, layout, precision): make
        for name, make in WAYS.items()
        for layout in LAYOUTS
        for precision in ("float32", "bfloat16")
        if not (name == "stacked" and precision == "bfloat16" and DEVICE.type == "cpu")  # oneDNN does not support it
    }
    if with_compiled:
        every["compiled", "channels_last", "float32"] = compiled
    if DEVICE.type == "cuda":
        every |= {("graphed", layout, "float32"): graphed for layout in LAYOUTS}
    return every


def in_layout(module: nn.Module, layout: torch.memory_format) -> nn.Module:
    """Return the module with the weights of its convolutions in a memory format."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)
    return module


class Case:
    """Images, labels and a new cohort, the same for every way."""

    def __init__(self) -> None:
        drawn = torch.Generator().manual_seed(0)
        self.images = torch.randn(BATCH, 3, IMAGE_SIZE, IMAGE_SIZE, generator=drawn).to(DEVICE)
        self.labels = torch.randint(CLASSES, (BATCH,), generator=drawn).to(DEVICE)

    def cohort(self) -> Cohort:
        torch.manual_seed(0)
        return Cohort(BACKBONE, CLASSES, PEERS, "branch").to(DEVICE)

    def loss(self, peers: nn.Module, images: Tensor, precision: str) -> Tensor:
        with _autocast(precision):
            logits = peers(images)
        return F.cross_entropy(logits.float().flatten(0, 1), self.labels.repeat(PEERS)) * PEERS

    def gradient_of_images(self, peers: nn.Module, precision: str, dtype: torch.dtype) -> Tensor:
        """Return the gradient of the images, which depends on all weights."""
        images = self.images.to(dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(peers, images, precision), images)
        return gradient.double()


@contextmanager
def _autocast(precision: str) -> Iterator[None]:
    with torch.autocast(DEVICE.type, torch.bfloat16, enabled=precision == "bfloat16"):
        yield


def _step(run: Callable[[], Tensor], module: nn.Module) -> Callable[[], None]:
    def step() -> None:
        run().backward()
        module.zero_grad(set_to_none=True)
        synchronise()

    return step


def compare_ways(repeats: int, *, with_compiled: bool) -> list[dict]:
    """Return a row for each way: seconds of the first step and of a later one, and the error of the gradient."""
    case = Case()
    # Batch norm is in float64 as well: this is the reference.
    exact = case.gradient_of_images(Loop(case.cohort().double()), "float64", torch.float64)
    rows, steps = [], {}
    for (name, layout, precision), make in ways(with_compiled=with_compiled).items():
        peers = in_layout(make(case.cohort()), LAYOUTS[layout])
        images = case.images.to(memory_format=LAYOUTS[layout])
        step = _step(lambda peers=peers, x=images, p=precision: case.loss(peers, x, p), peers)
        first = seconds(step)
        off = case.gradient_of_images(make(case.cohort()), precision, torch.float32) - exact if name in WAYS else None
        error = None if off is None else float(off.norm() / exact.norm())
        rows.append({"way": name, "layout": layout, "precision": precision, "first_seconds": first, "error": error})
        steps[name, layout, precision] = step
    took = median_seconds(steps, repeats)
    return [row | {"seconds": took[row["way"], row["layout"], row["precision"]]} for row in rows]


def compare_layouts(repeats: int) -> list[dict]:
    """Return a row for each network and precision: seconds of one peer by memory format."""
    rows = []
    for name, batch, size in NETWORKS:
        backbone = backbones.build(name, classes=CLASSES, in_channels=3, image_size=size)
        steps = {}
        for layout, memory_format in LAYOUTS.items():
            for precision in ("float32", "bfloat16"):
                network = backbone.network().to(DEVICE, memory_format=memory_format)
                images = torch.randn(batch, 3, size, size, device=DEVICE).to(memory_format=memory_format)
                steps[layout, precision] = _step(_mean_logit(network, images, precision), network)
        took = median_seconds(steps, repeats)
        for precision in ("float32", "bfloat16"):
            by_layout = {layout: took[layout, precision] for layout in LAYOUTS}
            rows.append({"network": name, "batch": batch, "size": size, "precision": precision} | by_layout)
    return rows


def fastest_first(ways: list[dict]) -> list[dict]:
    """Return the ways, the fastest first, beside the loop in PyTorch's default layout."""
    (loop,) = (way for way in ways if (way["way"], way["layout"], way["precision"]) == PLAIN_LOOP)
    rows = [way | {"times_as_fast": loop["seconds"] / way["seconds"]} for way in ways]
    return sorted(rows, key=lambda way: way["seconds"])


def by_network(layouts: list[dict]) -> list[dict]:
    """Return a row for each network: how many times as fast channels-last is, by precision."""
    rows: dict[str, dict] = {}
    for found in layouts:
        row = rows.setdefault(found["network"], {name: found[name] for name in ("network", "batch", "size")})
        times = {layout: found[layout] for layout in LAYOUTS}
        row[found["precision"]] = times | {"times_as_fast": times["contiguous"] / times["channels_last"]}
    return list(rows.values())


def _mean_logit(network: nn.Module, images: Tensor, precision: str) -> Callable[[], Tensor]:
    def run() -> Tensor:
        with _autocast(precision):
            return network(images).float().square().mean()

    return run


def main() -> None:
    options_of = parser("Time of ways to run the peers of a cohort.")
    options_of.add_argument("--without_compiled", action="store_true", help="skip compilation, which takes minutes")
    options = options_of.parse_args()
    about = header(
        sizes=f"{BACKBONE}, {PEERS} branches, batch {BATCH}, {CLASSES} classes, {IMAGE_SIZE} x {IMAGE_SIZE} pixels",
        method=f"forward and backward; median of {options.repeats} alternating repeats after one untimed",
    )
    report = {
        "header": about,
        "ways": fastest_first(compare_ways(options.repeats, with_compiled=not options.without_compiled)),
        "layouts": by_network(compare_layouts(options.repeats)),
    }
    give(report, options)


if __name__ == "__main__":
    main()
