"""Cosine similarities of images of the same class and of different classes (section 4.3 of the paper).

Axes: N images, D feature width, C classes, B bins.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from peerdistill.study.analyses.base.analysis import FIGURES, NETWORKS, Analysis, Result
from peerdistill.study.analyses.base.numbers import finite
from peerdistill.study.analyses.base.rows import spaced_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from peerdistill.study.analyses.base.analysed_run import AnalysedRun, NetworkOutputs

BINS = 100
"""Bins of the histogram, from -1 to 1."""

MOST_IMAGES = 5_000
"""Most images of the histogram, which takes all pairs; the means are exact for any number of images."""

_ROWS_AT_ONCE = 500


class Similarities(NamedTuple):
    """Mean cosine similarity over all pairs of different images; NaN if there is no such pair.

    Attributes:
        intra: Of pairs of the same class.
        inter: Of pairs of different classes.
    """

    intra: float
    inter: float


def class_similarities(features: Float[np.ndarray, "images width"], labels: Int[np.ndarray, " images"]) -> Similarities:
    """Return the mean cosine similarities within and between classes, exactly and without forming the pairs.

    With unit vectors u and their sums s_c over the classes, the similarities of all ordered pairs of class c sum to
    abs(s_c)^2, and those of all pairs to abs(sum_c s_c)^2. Time and memory grow with N D, not with N^2.

    Example:
        >>> found = class_similarities(np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]), np.array([0, 0, 1]))
        >>> found.intra, found.inter
        (1.0, 0.0)
    """
    order = np.argsort(labels, kind="stable")
    unit_ND = _unit(features[order].astype(np.float64))
    _, starts, counts = np.unique(labels[order], return_index=True, return_counts=True)
    sums_CD = np.add.reduceat(unit_ND, starts)
    within = np.square(sums_CD).sum()
    everything = np.square(sums_CD.sum(0)).sum()
    own = np.square(unit_ND).sum()  # N, or fewer if some features are all zero
    intra_pairs, inter_pairs = (counts * (counts - 1)).sum(), len(labels) ** 2 - np.square(counts).sum()
    totals = (within - own, intra_pairs), (everything - within, inter_pairs)
    return Similarities(*(float(total / pairs) if pairs else float("nan") for total, pairs in totals))


def similarity_histogram(
    features: Float[np.ndarray, "images width"], labels: Int[np.ndarray, " images"]
) -> tuple[Int[np.ndarray, " bins"], Int[np.ndarray, " bins"]]:
    """Return the number of pairs of the same class and of different classes in 100 bins of cosine similarity.

    Each pair of different images counts once. Memory for the pairs of 500 images with all others is needed.
    """
    unit_ND = _unit(features.astype(np.float32))
    intra_B, inter_B = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        cosines = unit_ND[rows] @ unit_ND[start:].T
        bins = ((cosines + 1) * (BINS / 2)).astype(np.int64).clip(0, BINS - 1)
        later = np.triu(np.ones(cosines.shape, dtype=bool), k=1)
        same = labels[rows, None] == labels[None, start:]
        intra_B += np.bincount(bins[later & same], minlength=BINS)
        inter_B += np.bincount(bins[later & ~same], minlength=BINS)
    return intra_B, inter_B


def _unit(features_ND: np.ndarray) -> np.ndarray:
    """Return vectors of length 1; features that are all zero stay so, and their similarities are 0."""
    lengths = np.linalg.norm(features_ND, axis=1, keepdims=True)
    return features_ND / np.where(lengths > 0, lengths, 1)


def compute(run: "AnalysedRun") -> Result:
    """Return the similarities of every network, and the histogram of the examined one."""
    rows = spaced_rows(run.labels, MOST_IMAGES)
    intra_B, inter_B = similarity_histogram(run.examined.features[rows], run.labels[rows])
    return {
        FIGURES: _figures(run.examined, run.labels),
        NETWORKS: {name: _figures(network, run.labels) for name, network in run.networks.items()},
        "images": len(run.labels),
        "histogram": {
            "images": len(rows),
            "edges": np.linspace(-1, 1, BINS + 1).round(6).tolist(),
            "intra-class pairs": intra_B.tolist(),
            "inter-class pairs": inter_B.tolist(),
        },
    }


def _figures(network: "NetworkOutputs", labels: np.ndarray) -> dict[str, float | None]:
    found = class_similarities(network.features, labels)
    return {
        "intra-class similarity": finite(found.intra),
        "inter-class similarity": finite(found.inter),
        "intra-class minus inter-class": finite(found.intra - found.inter),
    }


def draw(results: Mapping[str, Result]) -> "Figure":
    """Draw the histograms of each run, with the means as dashed lines."""
    from peerdistill.evaluation.plotting import COLOURS
    from peerdistill.study.plotting import panels, short

    figure, axes = panels([short(run) for run in results])
    for one, result in zip(axes, results.values(), strict=True):
        histogram = result["histogram"]
        edges = np.array(histogram["edges"])
        for colour, kind in zip(COLOURS, ("intra-class", "inter-class"), strict=False):
            pairs = np.array(histogram[f"{kind} pairs"], dtype=float)
            shares = 100 * pairs / max(pairs.sum(), 1)
            one.stairs(shares, edges, fill=True, alpha=0.5, color=colour, label=kind)
            mean = result[FIGURES][f"{kind} similarity"]
            if mean is not None:
                one.axvline(mean, color=colour, linestyle="--", linewidth=1, label=f"mean {mean:.3f}")
        one.set(xlabel="cosine similarity", ylabel="share of pairs, %", xlim=(_lowest(results), 1))
        one.legend(frameon=False, fontsize=8)
    top = max(one.get_ylim()[1] for one in axes)
    for one in axes:
        one.set_ylim(0, top)
    return figure


def _lowest(results: Mapping[str, Result]) -> float:
    """Return the lower edge of the first bin with pairs of any run."""
    lowest = []
    for result in results.values():
        histogram = result["histogram"]
        pairs = np.add(histogram["intra-class pairs"], histogram["inter-class pairs"])
        lowest.append(histogram["edges"][int(np.argmax(pairs > 0))])
    return min(lowest)


ANALYSIS = Analysis("similarity", "cosine similarity within and between classes", compute, draw)
