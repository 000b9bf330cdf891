"""The evaluation images with the largest loss, and images that one network gets right and another wrong.

Axes: N images.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int64

from peerdistill.study.analyses.base.analysis import FIGURES, Analysis, DoesNotApply, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from peerdistill.study.analyses.base.analysed_run import AnalysedRun, NetworkOutputs

MOST_IMAGES = 12
"""Most images of a list."""

_NO_CLASSES = "a few-shot run has no fixed classes: its classes differ from episode to episode"
_COLUMNS = 6


def losses(network: "NetworkOutputs", labels: np.ndarray) -> Float[np.ndarray, " images"]:
    """Return -log p(true class) of every image."""
    return -network.log_probabilities[np.arange(len(labels)), labels].astype(np.float64)


def compute(run: "AnalysedRun") -> Result:
    """Return the images with the largest loss of the examined network, and what the ensemble changes."""
    if run.is_few_shot:
        raise DoesNotApply(_NO_CLASSES)
    own = losses(run.examined, run.labels)
    wrong = run.examined.predicted != run.labels
    figures = {"error (%)": _percent(wrong)}
    if len(run.peers) > 1:
        by_all = np.all([peer.predicted != run.labels for peer in run.peers], axis=0)
        together = run.ensemble.predicted != run.labels
        figures |= {
            "wrong, ensemble right (%)": _percent(wrong & ~together),
            "right, ensemble wrong (%)": _percent(~wrong & together),
            "wrong by all peers (%)": _percent(by_all),
        }
    rows = np.argsort(-own, kind="stable")[:MOST_IMAGES]
    predictors = {run.what: run.examined} | ({"ensemble": run.ensemble} if len(run.peers) > 1 else {})
    return {FIGURES: figures, "hardest": _described(run, rows, predictors)}


def compare(first: "AnalysedRun", second: "AnalysedRun") -> Result:
    """Return the images that one of two runs gets right and the other wrong, the clearest cases first.

    The clearest case is the largest difference of the losses.
    """
    for run in (first, second):
        if run.is_few_shot:
            raise DoesNotApply(_NO_CLASSES)
    if not _have_same_images(first, second):
        raise DoesNotApply("the runs have different evaluation images")
    labels = first.labels
    right = [run.examined.predicted == labels for run in (first, second)]
    gain = losses(first.examined, labels) - losses(second.examined, labels)
    predictors = {"first": first.examined, "second": second.examined}
    found: Result = {FIGURES: {}}
    for name, only, order in (
        ("only first right", right[0] & ~right[1], gain),
        ("only second right", right[1] & ~right[0], -gain),
    ):
        rows = np.flatnonzero(only)
        found[FIGURES][f"{name} (%)"] = _percent(only)
        rows = rows[np.argsort(order[rows], kind="stable")][:MOST_IMAGES]
        found[name] = _described(first, rows, predictors)
    return found


def _have_same_images(first: "AnalysedRun", second: "AnalysedRun") -> bool:
    fingerprints = [run.task.data.held_out.get(run.split) for run in (first, second)]
    return fingerprints[0] == fingerprints[1] and first.class_names == second.class_names


def _percent(images: Bool[np.ndarray, " images"]) -> float:
    return 100 * float(np.mean(images))


def _described(
    run: "AnalysedRun", rows: Int64[np.ndarray, " rows"], predictors: Mapping[str, "NetworkOutputs"]
) -> list[dict[str, Any]]:
    """Return images with their true class, and what each predictor says about them."""
    return [
        {
            "row": int(row),
            "image": run.image_name(int(row)),
            "picture": picture,
            "true": run.class_names[run.labels[row]],
            "predictions": {name: _prediction(run, one, int(row)) for name, one in predictors.items()},
        }
        for row, picture in zip(rows, run.pictures(rows), strict=True)
    ]


def _prediction(run: "AnalysedRun", network: "NetworkOutputs", row: int) -> dict[str, Any]:
    probabilities = np.exp(network.log_probabilities[row].astype(np.float64))
    predicted, true = network.predicted[row], run.labels[row]
    return {
        "predicted": run.class_names[predicted],
        "probability": float(probabilities[predicted]),
        "probability of the true class": float(probabilities[true]),
        "loss": float(-network.log_probabilities[row, true]),
    }


def draw(results: Mapping[str, Result]) -> "Figure":
    """Draw the hardest images of each run, with the true class and the predictions."""
    return _sheet({run: result["hardest"] for run, result in results.items()})


def draw_comparison(result: Result, first: str, second: str) -> "Figure":
    """Draw the images that only one of two runs gets right."""
    from peerdistill.study.plotting import short

    names = {"first": short(first, 18), "second": short(second, 18)}
    rows = {f"only {names[name]} right": result[f"only {name} right"] for name in names}
    return _sheet(rows, names)


def _sheet(rows: Mapping[str, list[dict[str, Any]]], names: Mapping[str, str] | None = None) -> "Figure":
    """Draw lists of images, each from the start of a row; ``names`` replaces the names of predictors."""
    from peerdistill.study.plotting import panels, short

    cells = [(title, place, one) for title, images in rows.items() for place, one in enumerate(_filled(images))]
    figure, axes = panels([""] * len(cells), (1.9, 2.45), _COLUMNS)
    for axis, (title, place, one) in zip(axes, cells, strict=True):
        axis.axis("off")
        lines = [] if place else [short(title, 34)]
        if one is not None:
            axis.imshow(_pixels(one["picture"]), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            lines.append(f"true: {short(one['true'], 18)}")
            for name, said in one["predictions"].items():
                shown = (names or {}).get(name, name)
                lines.append(f"{shown}: {short(said['predicted'], 14)} {said['probability']:.0%}")
        axis.set_title("\n".join(lines), fontsize=7, parse_math=False, loc="left")
    return figure


def _filled(images: list[Any]) -> list[Any]:
    """Return a list with whole rows of panels, at least one."""
    return [*images, *[None] * (-len(images) % _COLUMNS if images else _COLUMNS)]


def _pixels(url: str) -> np.ndarray:
    import base64
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


ANALYSIS = Analysis(
    "hardest",
    "images with the largest loss; of two runs, images that only one gets right",
    compute,
    draw,
    compare,
    draw_comparison,
)
