"""What docs/performance.md says of a training step, out of the figures that the benchmarks wrote beside it."""

from page import figures, header_text, put_section, table

TO_NETWORKS = {"shared": 1.15, "own": 1.5}
TO_PLAIN = {"own": 12, "shared": 16}
FAR_FROM_FLOOR = 1.5
# Why a part may take more than that.
REASONS = {
    "convolutions": "16 to 64 channels fill the vector units less well than a large product does",
    "batch norm": "PyTorch's kernel computes on every number that it reads, where a copy does not",
    "activations and sums": "short kernels, each shared by all threads",
    "optimiser": "305 tensors, most of them tiny",
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
`python benchmarks/peers.py --write` measures and writes this part. "Loop" runs one peer after the other; "grouped"
puts branches side by side in the channels of one network, "stacked" calls `vmap` over weights in one tensor,
"compiled" has inductor compile every stage. The error is that of the gradient with respect to the images, beside
float64: networks with random weights enlarge it, and all ways in float32 are equally far off. Training runs the loop:
what grouped convolutions gain is small here, and only networks of convolutions and batch norm have that form. Where
bfloat16 is fast, as on processors with AMX, `--precision bf16-mixed` is the one large gain; it changes numbers, so it
is an option.
"""

_LAYOUTS = """
The layout, forward and backward of one network. The figure is how many times as fast channels-last is as PyTorch's
default; `--memory_format auto` takes what is faster by a rule that needs no timing, so that runs can be repeated bit by
bit: on a CPU channels-last for bfloat16, and in float32 where no dense convolution has more than 256 channels.
"""


def step_text(report: dict) -> str:
    return "\n\n".join([header_text(report), _steps_table(report["steps"]), _targets(report["steps"])])


def _steps_table(took: dict[str, dict[str, float]]) -> str:
    rows = []
    for precision in ("float32", "bfloat16"):
        networks = took[precision]["networks"]
        for name, spent in took[precision].items():
            to_plain = _to_plain(took, name, precision)
            shown = f"{to_plain:.1f}" if to_plain else ""
            rows.append([f"`{name}`", precision, f"{spent:.3f}", f"{spent / networks:.2f}", shown])
    rows.append(["plain", "float32", f"{took['plain']['plain']:.3f}", "", "1"])
    return table(["step", "networks in", "seconds", "over its networks", "times as fast as plain"], rows)


def _to_plain(took: dict[str, dict[str, float]], name: str, precision: str) -> float | None:
    spent = took["plain"].get(name if precision == "float32" else f"{name}, {precision}")
    return took["plain"]["plain"] / spent if spent else None


def _targets(took: dict[str, dict[str, float]]) -> str:
    lines = []
    for kind, target in TO_NETWORKS.items():
        found = took["float32"][kind] / took["float32"]["networks"]
        lines.append(f"- `{kind}` at most {target} times its networks: {found:.2f}, {_verdict(found <= target)}")
    for kind, target in TO_PLAIN.items():
        found = {precision: _to_plain(took, kind, precision) or 0 for precision in ("float32", "bfloat16")}
        said = [f"{ratio:.1f} in {precision}, {_verdict(ratio >= target)}" for precision, ratio in found.items()]
        lines.append(f"- `{kind}` at least {target} times as fast as plain: {'; '.join(said)}")
    most = took["plain"]["plain"] / took["float32"]["networks"]
    limit = f"Were the contrast free, the step would be {most:.1f} times as fast as plain in float32, and no more."
    return "\n".join(["Targets:", "", *lines, "", limit])


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
`own` also logs every column of the bank, drawn or not, and draws B x S numbers of 64 bits. Products with only 128 terms
to a sum do not reach the rate of a large one. `torch.compile` of what is done between them took 4 s at the start and
saved a quarter of it in a trial: not worth a C++ compiler.
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
