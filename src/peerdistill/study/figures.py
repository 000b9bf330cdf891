"""Figures of runs, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from peerdistill.data.pictures import open_picture
from peerdistill.deploy import Prediction

# Okabe and Ito's colours: told apart by colour-blind readers, and in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
_STYLE: dict[Any, Any] = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9, "figure.dpi": 150}
_SHEET_COLUMNS = 10


def plot_curves(single: Sequence[Mapping[str, Any]], peers: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the curves of a network trained alone beside those of a cohort.

    Args:
        single: Lines of ``metrics.jsonl`` of the network alone.
        peers: Those of the cohort.
        path: The PNG file.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        errors, losses = figure.subplots(1, 2)
        curves = {
            "network alone": (single, "leader"),
            "leader (MCL-OKD)": (peers, "leader"),
            "ensemble (MCL-OKD)": (peers, "ensemble"),
        }
        for colour, (label, (records, who)) in zip(_COLOURS, curves.items(), strict=False):
            top1 = [100 - record["validation"][who]["top1"] for record in records]
            errors.plot([record["epoch"] for record in records], top1, color=colour, label=label)
        errors.set(xlabel="epoch", ylabel="validation error, %", title="error", ylim=(0, 20))
        errors.legend(frameon=False)
        for colour, part in zip(_COLOURS, [name for name in peers[0]["loss"] if name != "total"], strict=False):
            values = [record["loss"][part] for record in peers]
            losses.plot([record["epoch"] for record in peers], values, color=colour, label=part.replace("_", "-"))
        losses.set(xlabel="epoch", ylabel="weighted loss", title="parts of the loss, MCL-OKD", yscale="log")
        losses.legend(frameon=False)
        for axis in (errors, losses):
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.savefig(path)


def plot_predictions(predictions: Sequence[Prediction], labels: Sequence[str], path: Path) -> None:
    """Write a contact sheet of pictures with the class that was predicted; wrong ones are red and say what is right.

    Args:
        predictions: What was predicted.
        labels: Name of the right class of each picture.
        path: The PNG file.
    """
    rows = -(-len(predictions) // _SHEET_COLUMNS)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_SHEET_COLUMNS, 1.25 * rows), layout="constrained")
        axes = list(figure.subplots(rows, _SHEET_COLUMNS, squeeze=False).flat)
        for axis in axes:
            axis.axis("off")
        for axis, prediction, label in zip(axes, predictions, labels, strict=False):
            right = prediction.classes[0] == label
            axis.imshow(open_picture(prediction.path), interpolation="nearest")
            text = f"{prediction.classes[0]}  {prediction.probabilities[0]:.0%}"
            axis.set_title(text if right else f"{text}\nis {label}", color="black" if right else "#D55E00", fontsize=8)
        figure.savefig(path)
