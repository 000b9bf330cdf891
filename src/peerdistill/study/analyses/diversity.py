"""How different the peers are: their predictions, their mistakes and their features.

Axes: N images, C classes, D feature width, M peers.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from peerdistill.study.analyses.base.analysis import FIGURES, Analysis, DoesNotApply, Result
from peerdistill.study.analyses.base.numbers import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from peerdistill.study.analyses.base.analysed_run import AnalysedRun, NetworkOutputs

_Measure = Callable[["NetworkOutputs", "NetworkOutputs", np.ndarray], float]


def disagreement(first: Int[np.ndarray, " images"], second: Int[np.ndarray, " images"]) -> float:
    """Return the share of images for which two networks predict different classes, 0..1."""
    return float(np.mean(first != second))


def symmetric_divergence(
    first: Float[np.ndarray, "images classes"], second: Float[np.ndarray, "images classes"]
) -> float:
    """Return the mean over images of (KL(p || q) + KL(q || p)) / 2 in nats.

    Args:
        first: Logarithms of the class probabilities p.
        second: Logarithms of the class probabilities q.
    """
    p, q = first.astype(np.float64), second.astype(np.float64)
    return float(((np.exp(p) - np.exp(q)) * (p - q)).sum(1).mean() / 2)


def linear_cka(first: Float[np.ndarray, "images width"], second: Float[np.ndarray, "images _width"]) -> float:
    """Return the linear centred kernel alignment of two sets of features of the same images, 0..1.

    It is 1 if the features differ only by a rotation and a factor. NaN if all features of a network are the same.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, section 3.

    Example:
        >>> features = np.random.default_rng(0).normal(size=(50, 4))
        >>> round(linear_cka(features, 3 * features[:, ::-1]), 6)
        1.0
    """
    x_ND, y_ND = (features.astype(np.float64) - features.mean(0, dtype=np.float64) for features in (first, second))
    shared, of_x, of_y = (np.linalg.norm(a.T @ b) for a, b in ((x_ND, y_ND), (x_ND, x_ND), (y_ND, y_ND)))
    with np.errstate(invalid="ignore"):
        return float(np.float64(shared) ** 2 / (of_x * of_y))


def error_correlation(first: Bool[np.ndarray, " images"], second: Bool[np.ndarray, " images"]) -> float:
    """Return the correlation of the mistakes of two networks, -1..1; NaN if one has none or only mistakes.

    Args:
        first: Whether the prediction of the first network is wrong.
        second: Whether that of the second network is.
    """
    a, b = (wrong - wrong.mean() for wrong in (first, second))
    with np.errstate(invalid="ignore"):
        return float((a * b).mean() / (a.std() * b.std()))


_OF_FEATURES: dict[str, _Measure] = {"CKA of features": lambda a, b, _: linear_cka(a.features, b.features)}
_OF_PREDICTIONS: dict[str, _Measure] = {
    "disagreement (%)": lambda a, b, _: 100 * disagreement(a.predicted, b.predicted),
    "symmetric KL (nats)": lambda a, b, _: symmetric_divergence(a.log_probabilities, b.log_probabilities),
    "error correlation": lambda a, b, labels: error_correlation(a.predicted != labels, b.predicted != labels),
}


def compute(run: "AnalysedRun") -> Result:
    """Return each measure as its mean over all pairs of peers, and as a matrix of peers."""
    peers = run.peers
    if len(peers) == 1:
        raise DoesNotApply("the run has one peer: diversity compares peers")
    measures = _OF_FEATURES if run.is_few_shot else {**_OF_PREDICTIONS, **_OF_FEATURES}
    pairs = np.triu_indices(len(peers), k=1)
    figures, matrices = {}, {}
    for name, measure in measures.items():
        matrix_MM = np.array([[measure(a, b, run.labels) for b in peers] for a in peers])
        figures[name] = finite(matrix_MM[pairs].mean())
        matrices[name] = [[finite(value) for value in row] for row in matrix_MM]
    return {FIGURES: figures, "peers": list(run.named_peers), "matrices": matrices}


def draw(results: Mapping[str, Result]) -> "Figure":
    """Draw the matrices: a row for each run, a panel for each measure."""
    from peerdistill.study.plotting import panels, short

    columns = max(len(result["matrices"]) for result in results.values())
    cells = [(run, name) for run, result in results.items() for name in result["matrices"]]
    figure, axes = panels([f"{name}\n{short(run, 30)}" for run, name in cells], (3.0, 2.9), columns)
    for one, (run, name) in zip(axes, cells, strict=True):
        peers = results[run]["peers"]
        matrix_MM = np.array(results[run]["matrices"][name], dtype=float)
        one.imshow(matrix_MM, cmap="Blues", vmin=0, vmax=_darkest(results, name))
        for (row, column), value in np.ndenumerate(matrix_MM):
            one.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=8)
        places = range(len(peers))
        one.set_xticks(places, peers, rotation=30)
        one.set_yticks(places, peers)
        one.spines[:].set_visible(False)
    return figure


def _darkest(results: Mapping[str, Result], name: str) -> float:
    """Return the value of the darkest colour, the same for all runs: numbers between peers stay readable on it."""
    found = [result["matrices"][name] for result in results.values() if name in result["matrices"]]
    matrices = [np.array(matrix, dtype=float) for matrix in found]
    apart = np.concatenate([matrix[~np.eye(len(matrix), dtype=bool)] for matrix in matrices])
    return 2 * max(np.nanmax(apart, initial=0.0), 0.5)


ANALYSIS = Analysis("diversity", "how different the peers are: predictions, mistakes, features", compute, draw)
