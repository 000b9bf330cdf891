"""What docs/performance.md says of the contrast, out of the figures that the benchmarks wrote beside it."""

import matplotlib
from matplotlib.figure import Figure

from page import DOCS, figures, header_text, put_section, table
from peerdistill.contrast.keys import CPU_BLOCK_BYTES
from peerdistill.contrast.options import FLOAT32_TEMPERATURE, LOWEST_TEMPERATURE
from peerdistill.contrast.score_blocks import CACHED_BYTES

PLOT = DOCS / "images" / "contrast-growth.png"

MIB = 2**20
SCORED = {"own": "16,384", "shared": "16,384", "all": "about 49,500", "queue": "16,384"}
REMEMBERED = {"banks, N 50,000": 50_000, "banks, N 1,281,167": 1_281_167, "queue of 16,384": 16_384}
TARGETS = {"own": 15, "shared": 60, "all": 12}
MEMORY_TARGET = 20
AXES = {"samples": "N", "negatives": "S", "peers": "M", "batch": "B"}
# Okabe and Ito's colours: told apart by colour-blind readers, and in grey.
COLOURS = {"own": "#0072B2", "shared": "#D55E00", "all": "#009E73", "queue": "#CC79A7"}


CACHE, KEPT = (f"{size // MIB} MiB" for size in (CPU_BLOCK_BYTES, CACHED_BYTES))
SINGLE, LOWEST = FLOAT32_TEMPERATURE, LOWEST_TEMPERATURE

_INTRODUCTION = f"""
Every anchor of every peer is scored against thousands of rows of every other peer's bank. What that must cost is two
matrix products, one for the scores and one for the way back to the embeddings: banks take no gradient, so the gradient
comes out of the same pass as the value, and only that, (M, B, E), is kept for `backward`. All between the two products
happens in tiles of scores that stay in a core's cache, {CACHE} for each thread. Nothing of size B x S x E ever exists.

- A **softmax** (eq. 8) needs one pass: what pulls an anchor away from its negatives is linear in `h = exp(s)` and can
  be divided by the sum of all h in the end.
- **NCE** (eq. 11) needs Z before any slope, so there are two passes. The scores of the first tiles, up to {KEPT}, are
  kept for the second, in memory that a thread keeps between steps; the others are computed again: a third product is
  cheaper than fresh memory that the system must find.
- h is not shifted by a maximum: cosines lie within -1 and 1, so exp(1 / tau) is far from the limits of single precision
  down to a temperature of {SINGLE}; below, down to {LOWEST}, double precision is taken. Each h is computed once;
  softplus and its slope follow from it, and with `(1 + a) (1 + b) = 1 + (a + ab + b)` an eighth of the logarithms is
  left.
- Rows that the batch shares, and a queue, are a small bank: one product for all anchors, in which those of an anchor's
  own label are masked.

What `--contrast.negatives` offers: `own` (each anchor its own S samples of other labels, as in the paper), `shared` (S
samples for the batch; S of eq. 10 is what is left of them for the anchor), `all` (every sample of another label,
nothing is drawn) and `queue` (of the last S samples those of other labels; no bank). A queue has no row for the sample
itself: the positive is what the other peer says of it now, without gradient. N of eq. 9 and 10 need not be chosen for
it, since Z = N mean(h) is divided by N again. The first batch meets an empty queue: its loss is 0.
"""

_BESIDE = """
`python benchmarks/contrast.py --write` measures and writes this part. The plain formulation is the one commonly found:
it gathers a (B, S + 1, E) block of bank rows for every ordered pair and leaves the rest to autograd. "Over two
products" is the time over that of the two matrix products alone, with all columns that are scored (`own`: the whole
bank). Extra memory is how far one step raises the process's high-water mark above that of its inputs. No GPU was at
hand: nothing was measured on one unless the hardware below is one.
"""

_GROWTH = """
`python benchmarks/contrast_growth.py --write` measures and writes this part. An exponent of 1 is linear growth, 0 none.
`shared` and `queue` must not grow with N, and none may grow faster than linearly in S or N. With M grows the number of
ordered pairs, M (M - 1), and so the time almost as its square. Where scores no longer fit into the room for those that
are kept, a third product sets in bit by bit: time then grows a little faster than its cause, up to half as much again,
until all are computed twice.
"""

_HALF_PRECISION = """
Banks and queues in bfloat16 (`--contrast.bank_dtype bfloat16`) take half the memory. The products are computed in the
precision of the run, in float32 at least; what changes is that rows are rounded. `random` rows are those of the start,
`trained` ones lie around the direction of their class. The cosine is that between the gradients of a peer's embeddings,
the worst of all peers.
"""

_ROUTES = """
Own negatives go one of two ways. **Counted**: one product scores all anchors against the whole bank, and each score
counts as often as its anchor drew the column, so that repeated draws cost nothing. **Gathered**: only the drawn rows
are read. `GATHER_COST` in `src/peerdistill/contrast/keys.py` decides by the sizes; it is right where the faster of
the two is chosen. Milliseconds:
"""


def comparison_text(report: dict) -> str:
    return "\n\n".join(
        [
            header_text(report),
            _comparison_table(report, "nce"),
            _targets_text(report),
            _few_table(report),
            'The softmax (`objective="softmax"`, eq. 8) beside its own plain formulation:',
            _comparison_table(report, "softmax"),
            _agreement_text(report),
            _half_precision_text(report),
            _routes_text(report),
        ]
    )


def _comparison_table(report: dict, objective: str) -> str:
    took, peak = report["seconds"], report["peak_bytes"]
    plain = f"{objective} gather"
    rows = [["plain, gathered", "16,384", f"{took[plain]:.3f}", "1", "", f"{peak[plain] / MIB:,.0f}", "1"]]
    for kind in SCORED:
        name = f"{objective} {kind}"
        rows.append(
            [
                f"`{kind}`",
                SCORED[kind],
                f"{took[name]:.3f}",
                f"{took[plain] / took[name]:.1f}",
                f"{took[name] / took[f'products {kind}']:.2f}",
                f"{peak[name] / MIB:,.0f}",
                f"{peak[plain] / max(peak[name], 1):,.0f}",
            ]
        )
    head = [
        "negatives",
        "of an anchor",
        "seconds",
        "times as fast",
        "over two products",
        "extra memory, MiB",
        "times less",
    ]
    return table(head, rows)


def _targets_text(report: dict) -> str:
    took, peak = report["seconds"], report["peak_bytes"]
    told = []
    for kind, target in TARGETS.items():
        fast, small = (of["nce gather"] / max(of[f"nce {kind}"], 1e-9) for of in (took, peak))
        reached = fast >= target and small >= MEMORY_TARGET
        aim = f"at least {target} times as fast, {MEMORY_TARGET} times less memory"
        told.append(f"`{kind}` ({aim}): {'reached' if reached else 'missed'}")
    return f"Targets: {'; '.join(told)}."


def _few_table(report: dict) -> str:
    rows = [
        [
            f"{row['negatives']:,}",
            f"{1e3 * row['nce gather']:.1f}",
            f"{1e3 * row['nce own']:.1f}",
            f"{row['nce gather'] / row['nce own']:.1f}",
        ]
        for row in report["few"]
    ]
    text = "With few negatives of each anchor's own their rows are gathered, once for all anchor peers:"
    return f"{text}\n\n{table(['S', 'plain, ms', '`own`, ms', 'times as fast'], rows)}"


def _agreement_text(report: dict) -> str:
    sizes = report["agreement_sizes"]
    rows = [
        [
            row["objective"],
            f"`{row['kind']}`",
            row["dtype"],
            f"{row['loss']:.0e}",
            f"{row['gradient']:.0e}",
        ]
        for row in report["agreement"]
    ]
    text = (
        "Relative differences to the plain formulation in float64 "
        f"(B {sizes['batch']}, S {sizes['negatives']}, N {sizes['samples']}):"
    )
    return f"{text}\n\n{table(['objective', 'negatives', 'precision', 'loss', 'gradient'], rows)}"


def _half_precision_text(report: dict) -> str:
    rows = [
        [
            f"`{row['kind']}`",
            row["rows"],
            f"{row['loss']:.1e}",
            f"{1 - row['cosine']:.1e}",
            f"{row['seconds']['bfloat16'] / row['seconds']['float32']:.2f}",
        ]
        for row in report["half_precision"]
    ]
    head = ["negatives", "rows", "loss, relative difference", "1 - cosine of gradients", "time / time in float32"]
    memory = [[what, *(f"{4 * kept * 128 * size / MIB:,.0f}" for size in (4, 2))] for what, kept in REMEMBERED.items()]
    sizes = table(["MiB, 4 peers, E 128", "float32", "bfloat16"], memory)
    return f"{_HALF_PRECISION.strip()}\n\n{table(head, rows)}\n\n{sizes}"


def _routes_text(report: dict) -> str:
    rows = [
        [
            f"{row['samples']:,}",
            f"{row['negatives']:,}",
            f"{1e3 * row['counted']:.1f}",
            f"{1e3 * row['gathered']:.1f}",
            row["chosen"],
        ]
        for row in report["routes"]
    ]
    return f"{_ROUTES.strip()}\n\n{table(['N', 'S', 'counted', 'gathered', 'chosen'], rows)}"


def growth_text(report: dict) -> str:
    by = {(row["kind"], row["axis"]): row for row in report["exponents"]}
    parts = []
    for name, title in (("seconds", "time"), ("peak_bytes", "peak extra memory")):
        rows = [[f"`{kind}`", *(f"{by[kind, axis][name]:.2f}" for axis in AXES)] for kind in SCORED]
        parts.append(table([f"exponents of {title}", *AXES.values()], rows))
    largest = max(point["value"] for point in report["points"] if point["axis"] == "samples")
    steps = ", ".join(
        f"`{point['kind']}` {point['seconds']:.2f} s and {point['peak_bytes'] / MIB:.0f} MiB"
        for point in report["points"]
        if point["axis"] == "samples" and point["value"] == largest
    )
    return "\n\n".join([header_text(report), *parts, f"One step with N {largest:,} (ImageNet): {steps}."])


def plot_growth(report: dict) -> None:
    """Write time and memory against every size, on axes where a power law is a straight line."""
    style = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "figure.dpi": 150}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(11, 5.2), layout="constrained")
        grid = figure.subplots(2, len(AXES), sharex="col", sharey="row")
        for column, (axis, letter) in enumerate(AXES.items()):
            for row, (name, unit) in enumerate((("seconds", 1), ("peak_bytes", MIB))):
                _plot_axis(grid[row][column], report, axis, name, unit)
            grid[1][column].set_xlabel(letter)
            values = sorted({point["value"] for point in report["points"] if point["axis"] == axis})
            grid[1][column].set_xticks(values, [f"{value:,}" for value in values], rotation=45, ha="right")
            grid[1][column].minorticks_off()
        grid[0][0].set_ylabel("seconds of a step")
        grid[1][0].set_ylabel("peak extra memory, MiB")
        grid[0][0].legend(frameon=False)
        PLOT.parent.mkdir(exist_ok=True)
        figure.savefig(PLOT)


def _plot_axis(axes, report: dict, axis: str, name: str, unit: float) -> None:
    for kind, colour in COLOURS.items():
        points = [point for point in report["points"] if (point["kind"], point["axis"]) == (kind, axis)]
        measured = [max(point[name] / unit, 1e-3) for point in points]
        axes.plot([point["value"] for point in points], measured, "o-", ms=3, color=colour, label=kind)
    axes.set(xscale="log", yscale="log")


def section() -> str:
    """The section as the page has it; a part whose figures were not measured is left out."""
    parts = [_INTRODUCTION.strip()]
    if comparison := figures("contrast"):
        parts += ["### Beside the plain formulation", _BESIDE.strip(), comparison_text(comparison)]
    if growth := figures("contrast-growth"):
        parts += ["### Growth", _GROWTH.strip(), growth_text(growth), f"![]({PLOT.relative_to(DOCS).as_posix()})"]
    return "\n\n".join(parts)


def write_section() -> None:
    """Put the section into the page."""
    put_section("The contrast", section())
