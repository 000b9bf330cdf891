"""Plots of runs, as PNG files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from peerdistill.data.images.decode import open_picture
from peerdistill.deploy import Prediction
from peerdistill.evaluation.plotting import COLOURS, write_png

_SHEET_COLUMNS = 10


def plot_comparison(
    accuracies: Mapping[str, Sequence[float]], losses: Sequence[Mapping[str, float]], path: Path
) -> None:
    """Plot the accuracies of all seeds, and the parts of one cohort's loss.

    Args:
        accuracies: Accuracies in percent for each way to train, one per seed in the same order. The last ways may have
            only the first seeds.
        losses: The loss and its parts in each epoch, as in ``metrics.jsonl``.
        path: The PNG file to write.
    """
    write_png(lambda: _comparison(accuracies, losses), path)


def _comparison(accuracies: Mapping[str, Sequence[float]], losses: Sequence[Mapping[str, float]]) -> Figure:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    seeds, parts = figure.subplots(1, 2)
    _draw_seeds(seeds, accuracies)
    epochs = range(1, len(losses) + 1)
    for colour, part in zip(COLOURS, [name for name in losses[0] if name != "total"], strict=False):
        parts.plot(epochs, [loss[part] for loss in losses], color=colour, label=part.replace("_", "-"))
    parts.set(xlabel="epoch", ylabel="weighted loss", title="parts of the loss, MCL-OKD", yscale="log")
    parts.xaxis.set_major_locator(MaxNLocator(integer=True))
    parts.legend(frameon=False)
    return figure


def _draw_seeds(axes: Axes, accuracies: Mapping[str, Sequence[float]]) -> None:
    """Draw a grey line for each seed, and the mean of each way to train."""
    places = range(len(accuracies))
    for seed in range(max(map(len, accuracies.values()))):
        of_seed = [values[seed] for values in accuracies.values() if seed < len(values)]
        axes.plot(places[: len(of_seed)], of_seed, color="#bbbbbb", linewidth=0.8, marker="o", markersize=3)
    for colour, place, values in zip(COLOURS, places, accuracies.values(), strict=False):
        axes.plot([place - 0.25, place + 0.25], [sum(values) / len(values)] * 2, color=colour, linewidth=3)
    axes.set_xticks(list(places), list(accuracies))
    axes.set(ylabel="test accuracy, %", title="each seed (grey) and means", xlim=(-0.5, len(accuracies) - 0.5))


def plot_predictions(predictions: Sequence[Prediction], labels: Sequence[str], path: Path) -> None:
    """Plot pictures with their predicted class; wrong predictions are red and name the true class.

    Args:
        predictions: The predictions for picture files.
        labels: Name of the true class of each picture.
        path: The PNG file to write.
    """
    write_png(lambda: _sheet(predictions, labels), path)


def _sheet(predictions: Sequence[Prediction], labels: Sequence[str]) -> Figure:
    rows = -(-len(predictions) // _SHEET_COLUMNS)
    figure = Figure(figsize=(_SHEET_COLUMNS, 1.25 * rows), layout="constrained")
    axes = list(figure.subplots(rows, _SHEET_COLUMNS, squeeze=False).flat)
    for axis in axes:
        axis.axis("off")
    for axis, prediction, label in zip(axes, predictions, labels, strict=False):
        assert isinstance(prediction.path, Path)
        right = prediction.classes[0] == label
        axis.imshow(open_picture(prediction.path), interpolation="nearest")
        text = f"{prediction.classes[0]}  {prediction.probabilities[0]:.0%}"
        title, colour = (text, "black") if right else (f"{text}\nis {label}", COLOURS[1])
        axis.set_title(title, color=colour, fontsize=8)
    return figure
