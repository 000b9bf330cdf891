"""What docs/performance.md says of a training step, out of the figures that the benchmarks wrote beside it."""

from page import figures, header_text, put_section, table

TO_NETWORKS = {"shared": 1.15, "own": 1.5}
TO_PLAIN = {"own": 12, "shared": 16}
FAR_FROM_FLOOR = 1.5
# Why a part takes more than that.
REASONS = {
    "convolutions": "narrow ones (16 to 64 channels) fill the vector units less well than a large product",
    "batch norm": "the channels' sums are accumulated in an order that vectorises less well than a copy",
    "activations and sums": "each is a kernel of its own, too short for two threads to share well",
    "optimiser": "small tensors",
}

_STEP = """
`python benchmarks/step.py --write` measures and writes this part: forward, loss, backward and update, as the trainer
does them. The plain step is the same method as research code has it: branches one after the other in PyTorch's default
layout, each sample's negatives drawn on the host, a gathered block of bank rows for every ordered pair, an optimiser
that loops. "Networks" is the same cohort with cross-entropy alone. Nothing was measured on a GPU unless the hardware
below is one.
"""

_TIME = """
The profiler's time of every kernel, beside the floor: FLOPs at the rate of a large float32 product, bytes at that of a
copy as large as an activation, both measured on the spot, as if nothing were ever found in a cache.
"""

_PEERS = """
`python benchmarks/peers.py --write` measures and writes this part. "Loop" runs one peer after the other; "grouped" puts
branches side by side in the channels of one network, "stacked" calls `vmap` over weights in one tensor, "compiled" has
inductor compile every stage. The error is that of the gradient with respect to the images, beside float64.
"""

_LAYOUTS = """
The layout, forward and backward of one network. The figure is how many times as fast channels-last is as PyTorch's
default; `--memory_format auto` takes what is faster by a rule that needs no timing, so that runs can be repeated bit by
bit: on a CPU channels-last for bfloat16, and in float32 where no dense convolution has more than 256 channels.
"""


def step_text(report: dict) -> str:
    return "\n\n".join([header_text(report), _steps_table(report["steps"]), _targets(report["steps"])])


def _steps_table(took: dict[str, float]) -> str:
    rows = []
    for name, spent in took.items():
        networks = took["networks, bfloat16" if name.endswith("bfloat16") else "networks"]
        rows.append([name, f"{spent:.3f}", f"{took['plain'] / spent:.1f}", f"{spent / networks:.2f}"])
    return table(["step", "seconds", "times as fast as plain", "over its networks"], rows)


def _targets(took: dict[str, float]) -> str:
    lines = []
    for kind, target in TO_NETWORKS.items():
        found = took[kind] / took["networks"]
        lines.append(f"- `{kind}` at most {target} times its networks: {found:.2f}, {_verdict(found <= target)}")
    for kind, target in TO_PLAIN.items():
        found = took["plain"] / took[kind]
        lines.append(f"- `{kind}` at least {target} times as fast as plain: {found:.1f}, {_verdict(found >= target)}")
    return "\n".join(["Targets:", "", *lines])


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"


def time_text(report: dict) -> str:
    time = report["time"]
    rates = time["peaks"]
    of_machine = f"Peak rates: {rates['flops'] / 1e9:.0f} GFLOP/s, {rates['bytes'] / 1e9:.1f} GB/s."
    return "\n\n".join([of_machine, _networks_table(time["networks"]), _contrast_table(time["contrast"], rates)])


def _networks_table(parts: list[dict]) -> str:
    rows = []
    for part in parts:
        floor = part["floor"]
        ratio = part["seconds"] / floor if floor else None
        reason = REASONS[part["part"]] if ratio is not None and ratio > FAR_FROM_FLOOR else ""
        shown = [f"{floor * 1e3:.1f}", f"{ratio:.2f}"] if floor and ratio else ["", ""]
        rows.append([part["part"], f"{part['seconds'] * 1e3:.1f}", *shown, reason])
    return table(["the networks' step", "ms", "floor, ms", "over it", "why"], rows)


def _contrast_table(kinds: list[dict], rates: dict[str, float]) -> str:
    rows = []
    for kind in kinds:
        floor = kind["flops"] / rates["flops"]
        spent = [kind[name] for name in ("draws", "products", "between")]
        figures_ms = [f"{value * 1e3:.1f}" for value in (*spent, sum(spent), floor)]
        rows.append([f"`{kind['kind']}`", *figures_ms, f"{sum(spent) / floor:.2f}"])
    head = ["the contrast", "draws, ms", "products, ms", "between them, ms", "together, ms", "floor, ms", "over it"]
    return table(head, rows) + "\n\n" + _CONTRAST_REASONS.strip()


_CONTRAST_REASONS = """
The floor is that of the two products. Between them lie an exponential, a logarithm, a quotient, sums and the factors
that count or mask columns for each score: eager PyTorch has a kernel for each, which reads and writes the whole tile.
`own` also logs every column of the bank, drawn or not, and its draws are 64-bit numbers for B x S places. To compile
that part would save most of it and take a C++ compiler and half a minute at every start.
"""


def peers_text(report: dict) -> str:
    return "\n\n".join(
        [header_text(report), _ways_table(report["ways"]), _LAYOUTS.strip(), _layouts(report["layouts"])]
    )


def _ways_table(ways: list[dict]) -> str:
    loop = next(way["seconds"] for way in ways if (way["way"], way["layout"], way["precision"]) == _PLAIN_LOOP)
    rows = []
    for way in sorted(ways, key=lambda way: way["seconds"]):
        names = [way["way"], way["layout"], way["precision"]]
        error = "" if way["error"] is None else f"{way['error']:.0e}"
        times = [f"{way['seconds']:.3f}", f"{loop / way['seconds']:.2f}", f"{way['first_seconds']:.1f}"]
        rows.append([*names, *times, error])
    return table(["way", "layout", "precision", "seconds", "times as fast", "first step, s", "error"], rows)


_PLAIN_LOOP = ("loop", "contiguous", "float32")


def _layouts(layouts: list[dict]) -> str:
    rows: dict[str, list[str]] = {}
    for found in layouts:
        name = f"{found['network']}, {found['batch']} images of {found['size']} px"
        rows.setdefault(name, [name]).append(f"{found['contiguous'] / found['channels_last']:.2f}")
    return table(["network", "float32", "bfloat16"], list(rows.values()))


def section() -> str:
    """The section as the page has it; a part whose figures were not measured is left out."""
    parts = []
    if step := figures("step"):
        parts += [_STEP.strip(), step_text(step), "### Where the time goes", _TIME.strip(), time_text(step)]
    if peers := figures("peers"):
        parts += ["### Ways to run peers", _PEERS.strip(), peers_text(peers)]
    return "\n\n".join(parts)


def write_section() -> None:
    """Put the section into the page."""
    put_section("The step", section())
