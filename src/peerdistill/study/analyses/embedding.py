"""The features of the evaluation images in two dimensions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from peerdistill.study.analyses.base.analysis import FIGURES, Analysis, Result
from peerdistill.study.analyses.base.rows import spaced_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from peerdistill.study.analyses.base.analysed_run import AnalysedRun

MOST_POINTS = 2_000
"""Most images that are shown. If there are more, these are evenly spaced over the classes."""

_PERPLEXITY = 30.0
_FEWEST_OF_TSNE = 10
_CLASSES_IN_LEGEND = 20


def principal_components(
    features: Float[np.ndarray, "images width"],
) -> tuple[Float[np.ndarray, "images 2"], float]:
    """Return the first two principal components, and the share of the variance that they explain, 0..1."""
    from sklearn.decomposition import PCA

    components = min(2, *features.shape)
    pca = PCA(components, svd_solver="full")
    found = pca.fit_transform(features.astype(np.float64))
    explained = float(pca.explained_variance_ratio_.sum())
    return np.pad(found, ((0, 0), (0, 2 - components))), explained if np.isfinite(explained) else 1.0


def neighbour_embedding(features: Float[np.ndarray, "images width"]) -> Float[np.ndarray, "images 2"]:
    """Return t-SNE of cosine distances, with perplexity 30 and a fixed random state.

    Source: van der Maaten and Hinton, "Visualizing Data using t-SNE", JMLR 2008; scikit-learn.
    """
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=0)
    return np.asarray(tsne.fit_transform(features.astype(np.float32)))


def compute(run: "AnalysedRun") -> Result:
    """Return the coordinates of up to 2,000 images, their rows and their classes."""
    rows = spaced_rows(run.labels, MOST_POINTS)
    components, explained = principal_components(run.examined.features)
    maps = {"PCA": components[rows]}
    if len(rows) >= _FEWEST_OF_TSNE:
        maps["t-SNE"] = neighbour_embedding(run.examined.features[rows])
    return {
        FIGURES: {"variance in two components (%)": 100 * explained},
        "rows": rows.tolist(),
        "classes": run.labels[rows].tolist(),
        "class_names": list(run.class_names),
        "maps": {name: np.round(points.astype(np.float64), 3).tolist() for name, points in maps.items()},
    }


def draw(results: Mapping[str, Result]) -> "Figure":
    """Draw each map of each run: a point for every image in the colour of its class."""
    from peerdistill.study.plotting import panels, short

    columns = max(len(result["maps"]) for result in results.values())
    cells = [(run, name) for run, result in results.items() for name in result["maps"]]
    figure, axes = panels([f"{name}, {short(run, 30)}" for run, name in cells], (4.4, 4.2), columns)
    for one, (run, name) in zip(axes, cells, strict=True):
        points, classes = np.array(results[run]["maps"][name]), np.array(results[run]["classes"])
        colours = _colours(len(results[run]["class_names"]))
        one.scatter(*points.T, s=6, c=colours[classes], linewidths=0)
        one.set(xticks=[], yticks=[])
    _add_legend(figure, next(iter(results.values()))["class_names"])
    return figure


def _colours(classes: int) -> Any:
    import matplotlib

    name = "tab10" if classes <= 10 else "tab20" if classes <= _CLASSES_IN_LEGEND else "hsv"
    colours = matplotlib.colormaps[name].resampled(classes) if name == "hsv" else matplotlib.colormaps[name]
    return colours(np.arange(classes))


def _add_legend(figure: "Figure", class_names: list[str]) -> None:
    """Name the colours below the panels, unless there are too many classes."""
    from matplotlib.lines import Line2D

    from peerdistill.study.plotting import short

    if len(class_names) > _CLASSES_IN_LEGEND:
        return
    marks = [
        Line2D([], [], color=colour, marker="o", linestyle="", markersize=4, label=short(name, 18))
        for name, colour in zip(class_names, _colours(len(class_names)), strict=True)
    ]
    legend = figure.legend(handles=marks, loc="outside lower center", ncols=7, frameon=False, fontsize=7)
    for text in legend.get_texts():
        text.set_parse_math(False)


ANALYSIS = Analysis("embedding", "features in two dimensions, by PCA and t-SNE", compute, draw)
