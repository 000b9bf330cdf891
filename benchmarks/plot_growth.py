"""Draw docs/images/contrast-growth.png from the figures of contrast_growth.py.

python benchmarks/plot_growth.py
"""

import json
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parents[1] / "docs"
PLOT = DOCS / "images" / "contrast-growth.png"
AXES = {"samples": "N", "negatives": "S", "peers": "M", "batch": "B"}
MIB = 2**20
# Colours of Okabe and Ito: colour-blind readers can tell them apart, and so can readers in grey.
COLOURS = {"own": "#0072B2", "shared": "#D55E00", "all": "#009E73", "queue": "#CC79A7"}
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "figure.dpi": 150}


def plot(points: list[dict], file: Path) -> None:
    """Draw time and memory against each size, on axes on which a power law is a straight line."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.2), layout="constrained")
        grid = figure.subplots(2, len(AXES), sharex="col", sharey="row")
        for column, (axis, letter) in enumerate(AXES.items()):
            of_axis = [point for point in points if point["axis"] == axis]
            for row, (name, unit) in enumerate((("seconds", 1), ("peak_bytes", MIB))):
                plot_axis(grid[row][column], of_axis, name, unit)
            grid[1][column].set_xlabel(letter)
            values = sorted({point["value"] for point in of_axis})
            grid[1][column].set_xticks(values, [f"{value:,}" for value in values], rotation=45, ha="right")
            grid[1][column].minorticks_off()
        grid[0][0].set_ylabel("seconds of a step")
        grid[1][0].set_ylabel("peak extra memory, MiB")
        grid[0][0].legend(frameon=False)
        figure.savefig(file)


def plot_axis(axes: Axes, points: list[dict], name: str, unit: float) -> None:
    for kind, colour in COLOURS.items():
        of_kind = [point for point in points if point["kind"] == kind]
        measured = [max(point[name] / unit, 1e-3) for point in of_kind]
        axes.plot([point["value"] for point in of_kind], measured, "o-", ms=3, color=colour, label=kind)
    axes.set(xscale="log", yscale="log")


if __name__ == "__main__":
    plot(json.loads((DOCS / "performance" / "contrast_growth.json").read_text())["points"], PLOT)
