"""The plot of a bench: accuracy against latency and size."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from peerdistill.errors import UserError
from peerdistill.evaluation.plotting import COLOURS, write_png
from peerdistill.study.form_names import IN_PYTORCH, form_name

_MARKERS = {"pytorch": "o", "pt2": "o", "onnx": "s", "int8": "^"}
_OTHER_MARKER = "D"
_SHOWN = 15.0
"""Points of accuracy below the best within which a point is shown: a failed average must not compress all others."""
_LEAST_SPREAD = 2.0
"""Points of accuracy on the axis, at least."""
_NAMES = {"ema": "EMA of the leader", "average": "average of the peers"}


def plot_bench(values: Mapping[str, Any], path: Path) -> None:
    """Plot the accuracy of every network in every form against its latency and its size.

    Colours are networks and markers are forms. A line connects the forms of a network. Accuracies more than 15 points
    below the best are not drawn but named in the legend.

    Args:
        values: The figures, as :meth:`peerdistill.study.bench.Bench.as_dict` returns them.
        path: The PNG file to write.

    Raises:
        UserError: There are no accuracies.
        WriteError: The file cannot be written.
    """
    if values["evaluated"] is None:
        raise UserError("there is no picture of accuracies: the data of the run has no images to evaluate on")
    write_png(lambda: _drawn(values), path)


def _drawn(values: Mapping[str, Any]) -> Figure:
    batches = list(next(_points(values))[2]["milliseconds"])
    figure = Figure(figsize=(3.1 * (len(batches) + 1), 4.1), layout="constrained")
    axes = list(figure.subplots(1, len(batches) + 1, sharey=True))
    for axis, batch in zip(axes, batches, strict=False):
        size = int(batch)
        _draw(axis, values, {key: time / size for key, time in _times(values, batch).items()})
        axis.set_xlabel("time of one image, ms" if size == 1 else f"time per image in a batch of {size}, ms")
    _draw(axes[-1], values, {(what, form): one["bytes"] / 1e6 for what, form, one in _points(values)})
    axes[-1].set_xlabel("size of the file, MB")
    axes[0].set_ylabel("top-1 accuracy, %")
    figure.suptitle(_title(values), parse_math=False, fontsize=10)
    _add_legends(figure, values)
    return figure


def _title(values: Mapping[str, Any]) -> str:
    evaluated = values["evaluated"]
    split = {"val": "validation"}.get(evaluated["split"], evaluated["split"])
    kind = "images" if "episodes" not in evaluated else f"queries of {evaluated['episodes']} episodes"
    return (
        f"{Path(values['run']).name}, {values['checkpoint']} epoch {values['epoch']}: "
        f"{evaluated['samples']:,} {split} {kind}, threads: {values['machine']['threads']}"
    )


def _points(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield network, form and figures."""
    for what, forms in values["networks"].items():
        for form, figures in forms.items():
            yield what, form, figures


def _times(values: Mapping[str, Any], batch: str) -> dict[tuple[str, str], float]:
    return {(what, form): one["milliseconds"][batch] for what, form, one in _points(values)}


def _draw(axes: Axes, values: Mapping[str, Any], x: Mapping[tuple[str, str], float]) -> None:
    """Draw accuracy against ``x`` on a logarithmic axis."""
    for colour, (what, forms) in zip(_cycled(values), values["networks"].items(), strict=True):
        shown = {form: _top1(one) for form, one in forms.items() if _top1(one) >= _lowest(values)}
        xs, ys = [x[what, form] for form in shown], list(shown.values())
        axes.plot(xs, ys, color=colour, linewidth=0.8, alpha=0.5, zorder=1)
        for form, one_x, one_y in zip(shown, xs, ys, strict=True):
            axes.plot(one_x, one_y, _marker(form), color=colour, markersize=7, markeredgecolor="white", zorder=2)
    axes.set_xscale("log")
    low, high = min(x.values()), max(x.values())
    axes.set_xlim(low / 1.4, high * 1.4)
    # Few labelled numbers on any range, also within one power of ten.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 100 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    low_y, high_y = axes.get_ylim()
    spread = max(high_y - low_y, _LEAST_SPREAD)
    axes.set_ylim((low_y + high_y - 1.1 * spread) / 2, (low_y + high_y + 1.1 * spread) / 2)


def _add_legends(figure: Figure, values: Mapping[str, Any]) -> None:
    """Add the networks by colour and the forms by marker, below the axes."""
    networks = [
        Line2D([], [], color=colour, linewidth=4, label=_label(values, what))
        for colour, what in zip(_cycled(values), values["networks"], strict=True)
    ]
    names = {_marker(form): "PyTorch" if form in IN_PYTORCH else form_name(form) for _, form, _ in _points(values)}
    forms = [
        Line2D([], [], color="#555555", marker=marker, linestyle="none", markersize=7, label=name)
        for marker, name in names.items()
    ]
    blank = Line2D([], [], linestyle="none", label="")
    # A legend is filled by columns: networks become the upper row, forms the lower one.
    pairs = list(zip_longest(networks, forms, fillvalue=blank))
    handles = [handle for pair in pairs for handle in pair]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(pairs), frameon=False)


def _label(values: Mapping[str, Any], what: str) -> str:
    """Return the name of a network with the accuracies that are not drawn."""
    name, forms = _NAMES.get(what, what.replace(":", " ")), values["networks"][what]
    hidden = {form: _top1(one) for form, one in forms.items() if _top1(one) < _lowest(values)}
    if len(hidden) == len(forms):
        return f"{name}\n({max(hidden.values()):.1f} %, not drawn)"
    if hidden:
        return f"{name}\n({', '.join(f'{form_name(form)} {top1:.1f} %' for form, top1 in hidden.items())}, not drawn)"
    return name


def _top1(figures: Mapping[str, Any]) -> float:
    return figures["accuracy"]["top1"]


def _lowest(values: Mapping[str, Any]) -> float:
    """Return the lowest accuracy that is drawn."""
    return max(_top1(figures) for *_, figures in _points(values)) - _SHOWN


def _marker(form: str) -> str:
    return _MARKERS.get(form, _OTHER_MARKER)


def _cycled(values: Mapping[str, Any]) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(values["networks"]))]
