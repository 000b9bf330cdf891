"""Plots of a :class:`ClassReport` as PNG files: confusion, the most confident mistakes, and calibration.

Axes: N mistakes, C classes, H, W height and width, K channels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from peerdistill.errors import printable
from peerdistill.evaluation.plotting import COLOURS, style, write_png
from peerdistill.evaluation.report import BINS, MATRIX_CLASSES, ClassReport, most_confused

_BLUE, _ORANGE = COLOURS[:2]

MISTAKES = 24
"""Most mistakes on a contact sheet."""

_SHEET_COLUMNS = 6
_LONGEST_NAME = 18
_CLASSES_WITH_COUNTS = 30
_CLASSES_WITH_NAMES = 130
_CLASSES_OF_MANY = 100
_DARK = 0.5
"""Share of a class from which the count in its cell is white."""


def plot_confusion(report: ClassReport, class_names: Sequence[str], title: str, path: Path) -> None:
    """Plot the confusion matrix: a row for every true class, coloured by the share of the class.

    Up to 30 classes, cells contain numbers of images. The colour scale shows small shares. Of more than 2,000 classes,
    the 100 with the most mistakes are drawn.

    Args:
        report: The report of a predictor.
        class_names: Name of every class.
        title: First line of the title.
        path: The PNG file to write.
    """
    shown = most_confused(report, _CLASSES_OF_MANY) if report.classes > MATRIX_CLASSES else range(report.classes)
    class_names = [class_names[k] for k in shown]
    classes = len(shown)
    counts = report.confusion_of(shown)
    shares = counts / np.maximum(report.rates.support[shown, None], 1)
    part = f"the {classes} classes with the most mistakes, " if classes < report.classes else ""
    # inches for one class: room for a number, or for a line of small text
    cell = 0.34 if classes <= _CLASSES_WITH_COUNTS else 0.13
    side = min(max(3.0, cell * classes), 18.0)
    with _figure(path, (side + 2.2, side + 1.6)) as figure:
        axes = figure.subplots()
        image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest")
        _name_classes(axes, class_names, size=9 if classes <= _CLASSES_WITH_COUNTS else 6)
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.spines[:].set_visible(False)
        _title(axes, f"{title}\n{part}balanced accuracy {report.balanced_accuracy:.1%}")
        if classes <= _CLASSES_WITH_COUNTS:
            size = 8 if counts.max() < 1000 else 6
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    colour = "white" if shares[row, column] > _DARK else "black"
                    axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=size)
        bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[0, 0.05, 0.2, 0.5, 1], format="{x:.0%}")
        bar.set_label("share of the true class")
        bar.outline.set_visible(False)


def _name_classes(axes: Axes, class_names: Sequence[str], size: int) -> None:
    """Label the rows and columns with the names, or with some numbers if there are too many classes."""
    if len(class_names) > _CLASSES_WITH_NAMES:
        return
    places, names = range(len(class_names)), [_name(name) for name in class_names]
    axes.set_xticks(places, names, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(places, names, fontsize=size, parse_math=False)
    axes.tick_params(length=2, pad=1)


def plot_mistakes(
    report: ClassReport,
    class_names: Sequence[str],
    pictures: UInt8[np.ndarray, "mistakes channels height width"],
    names: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Plot the most confident mistakes: the pictures as the network gets them, with true and predicted class.

    Args:
        report: The report of a predictor.
        class_names: Name of every class.
        pictures: The pictures of the first mistakes of ``report.mistakes``, at most :data:`MISTAKES`.
        names: Name of every picture.
        title: First line of the title.
        path: The PNG file to write.
    """
    wrong, samples = len(report.mistakes), len(report.labels)
    rows = max(1, -(-len(pictures) // _SHEET_COLUMNS))
    with _figure(path, (1.9 * _SHEET_COLUMNS, 2.4 * rows + 0.7)) as figure:
        text = f"{title}\n{wrong} of {samples} images are wrong"
        if len(pictures) < wrong:
            text += f"; the {len(pictures)} most confident mistakes"
        figure.suptitle(text, parse_math=False)
        axes = list(figure.subplots(rows, _SHEET_COLUMNS, squeeze=False).flat)
        for axis in axes:
            axis.axis("off")
        for axis, mistake, picture, name in zip(axes, report.mistakes, pictures, names, strict=False):
            axis.imshow(picture.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            true, predicted = (_name(class_names[k], 14) for k in (mistake.true, mistake.predicted))
            text = f"predicted {predicted} ({mistake.probability:.1%})\ntrue {true}"
            axis.set_title(text, fontsize=7, color=_ORANGE, parse_math=False)
            axis.text(
                0.5, -0.03, _name(name, 36), transform=axis.transAxes, ha="center", va="top", fontsize=6, color="grey"
            ).set_parse_math(False)


def plot_reliability(report: ClassReport, title: str, path: Path) -> None:
    """Plot accuracy against confidence in 15 bins, and the number of images in each bin.

    A reliability diagram as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Args:
        report: The report of a predictor.
        title: First line of the title.
        path: The PNG file to write.
    """
    bins = report.confidences
    left, width = np.arange(BINS) / BINS, 1 / BINS
    with _figure(path, (4.6, 5.4)) as figure:
        upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        upper.bar(left, bins.accuracy, width, align="edge", color=_BLUE, edgecolor="white", label="accuracy in the bin")
        upper.plot([0, 1], [0, 1], color=_ORANGE, linestyle="--", label="perfect calibration")
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        figure.legend(frameon=False, loc="outside lower center", ncols=2, fontsize=8)
        _title(upper, f"{title}\nexpected calibration error {report.ece:.1%} (15 bins)")
        lower.bar(left, bins.counts, width, align="edge", color="#999999", edgecolor="white")
        lower.set(xlabel="confidence (probability of the predicted class)", ylabel="images")


@contextmanager
def _figure(path: Path, inches: tuple[float, float]) -> Iterator[Figure]:
    """Yield a figure, and write it to a PNG file at the end."""
    with style():
        figure = Figure(figsize=inches, layout="constrained")
        yield figure
        write_png(lambda: figure, path)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=10, parse_math=False)


def _name(name: str, longest: int = _LONGEST_NAME) -> str:
    """Return a name that fits into a plot: the middle of a long one is cut, because names often differ at the end."""
    text, half = printable(name), longest // 2
    return text if len(text) <= longest else f"{text[: half - 1]}…{text[-half:]}"
