"""Where the leader of a run is right and wrong: classes, confusion with pictures, calibration, hardest pictures."""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Any

import numpy as np

from peerdistill.evaluation import Outcomes, most_confused
from peerdistill.study.report.charts import Chart, Table
from peerdistill.study.report.pictures import RunPictures
from peerdistill.study.report.reported_run import ReportedRun

SHOWN_CLASSES = 40
"""Most classes in the bars of recall."""

MATRIX_CLASSES = 100
"""Most classes in a drawn confusion matrix; of more, those with the most mistakes are drawn. The table has all."""

HARDEST = 24
"""Number of the most confident mistakes that are shown."""

CELL_PICTURES = 12
"""Most pictures behind a cell of the confusion matrix."""


def class_charts(reported: ReportedRun, id: str, pictures: RunPictures) -> list[Chart]:
    """Return recall of every class, the confusion matrix with pictures, and the reliability diagram of the leader.

    Args:
        reported: A run with predictions.
        id: Beginning of the identifiers of the charts.
        pictures: Where the pictures come from.
    """
    assert reported.predictions is not None
    names = reported.predictions.class_names
    return [
        _recall(reported, names, id),
        _confusion(reported.outcomes["leader"], names, id, pictures),
        _reliability(reported.outcomes["leader"], id),
    ]


def hardest(reported: ReportedRun, pictures: RunPictures) -> list[dict[str, Any]]:
    """Return the most confident mistakes of the leader: picture, name, true and predicted class, probability."""
    assert reported.predictions is not None
    names = reported.predictions.class_names
    return [
        {
            "picture": pictures.add(mistake.index),
            "name": pictures.name(mistake.index),
            "true": names[mistake.true],
            "predicted": names[mistake.predicted],
            "probability": mistake.probability,
        }
        for mistake in reported.outcomes["leader"].mistakes[:HARDEST]
    ]


def _recall(reported: ReportedRun, names: Sequence[str], id: str) -> Chart:
    rates = {name: outcomes.rates for name, outcomes in reported.outcomes.items()}
    leader, ensemble = rates["leader"], rates.get("ensemble")
    order: list[int] = np.argsort(np.nan_to_num(leader.recall, nan=2.0), kind="stable").tolist()
    rows = [
        [names[k], *(float(values[k]) for values in (leader.recall, leader.precision, leader.f1))]
        + ([float(ensemble.recall[k])] if ensemble else [])
        + [int(leader.support[k])]
        for k in order
    ]
    columns = ["class", "recall", "precision", "F1", *(["recall of the ensemble"] if ensemble else []), "images"]
    drawn = [k for k in order if leader.support[k]][:SHOWN_CLASSES]
    which = f"The {len(drawn)} classes with the lowest recall" if len(drawn) < len(names) else "All classes"
    data = {"names": [names[k] for k in drawn], "series": [_bars("leader", leader.recall, drawn)]}
    if ensemble:
        data["series"].append(_bars("ensemble", ensemble.recall, drawn))
    note = f"{which}, lowest first: share of the images of a class that are recognised. The table has all classes."
    return Chart(f"{id}-recall", "bars", "Recall of every class", note, data, Table(columns, rows))


def _bars(name: str, values: np.ndarray, classes: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "values": [round(float(values[k]), 6) for k in classes]}


def _confusion(outcomes: Outcomes, names: Sequence[str], id: str, pictures: RunPictures) -> Chart:
    cells = _sorted_cells(outcomes)
    behind = _pictures_behind(outcomes, cells, pictures)
    shown = most_confused(outcomes, MATRIX_CLASSES)
    rest = "" if len(shown) == len(names) else f" The {len(shown)} classes with the most mistakes are drawn."
    note = (
        "Rows are true classes, columns are predicted ones; colour is the share of the true class. Choose a cell, or "
        f"a button in the table, to see pictures behind it.{rest}"
    )
    data = {"names": list(names), "shown": shown, "pictures": behind}
    support = outcomes.rates.support
    rows = [[names[t], names[p], count, count / int(support[t]), t, p] for t, p, count in cells]
    table = Table(["true class", "predicted class", "images", "share of the true class", "", ""], rows)
    return Chart(f"{id}-confusion", "confusion", "Confusion", note, data, table)


def _sorted_cells(outcomes: Outcomes) -> list[tuple[int, int, int]]:
    """Return true class, predicted class and count of the cells that are not empty: mistakes first, most first."""
    found = [(t, p, count) for t, p, count in outcomes.cells.tolist()]
    return sorted(found, key=lambda cell: (cell[0] == cell[1], -cell[2], cell[0], cell[1]))


def _pictures_behind(
    outcomes: Outcomes, cells: Sequence[tuple[int, int, int]], pictures: RunPictures
) -> dict[str, list[list[Any]]]:
    """Return pictures of each cell by "true,predicted": identifier, name and probability, the most confident first.

    Every cell gets its first picture before any gets its second, as long as there is space.
    """
    rows = {f"{t},{p}": _rows_of(outcomes, t, p) for t, p, _ in cells}
    found: dict[str, list[list[Any]]] = {}
    for place in range(CELL_PICTURES):
        for cell, of_cell in rows.items():
            row = next(islice(of_cell, place, None), None)
            id = None if row is None else pictures.add(row)
            if row is not None and id is not None:
                probability = round(float(outcomes.probabilities[row]), 6)
                found.setdefault(cell, []).append([id, pictures.name(row), probability])
    return found


def _rows_of(outcomes: Outcomes, true: int, predicted: int) -> list[int]:
    rows = np.flatnonzero((outcomes.labels == true) & (outcomes.predicted == predicted))
    order = np.argsort(-outcomes.probabilities[rows], kind="stable")
    return rows[order].tolist()


def _reliability(outcomes: Outcomes, id: str) -> Chart:
    bins = outcomes.confidences
    edges = np.linspace(0, 1, len(bins.counts) + 1)
    rows = list(_bins(edges, bins.counts, bins.confidence, bins.accuracy))
    note = (
        "Share of correct predictions against the probability of the predicted class: on the diagonal, probabilities "
        f"mean what they say. Expected calibration error {outcomes.ece:.4f} (Guo et al., 2017)."
    )
    data = {
        "places": [float((low + high) / 2) for low, high in pairwise(edges)],
        "accuracy": [row[3] for row in rows],
        "confidence": [row[2] for row in rows],
        "counts": [row[1] for row in rows],
    }
    table = Table(["probability", "images", "mean probability", "share correct"], rows)
    return Chart(f"{id}-calibration", "reliability", "Calibration", note, data, table)


def _bins(edges: np.ndarray, counts: np.ndarray, confidence: np.ndarray, accuracy: np.ndarray) -> Iterator[list[Any]]:
    for k, count in enumerate(counts.tolist()):
        values = (round(float(one[k]), 6) if count else None for one in (confidence, accuracy))
        yield [f"{edges[k]:.2f} to {edges[k + 1]:.2f}", count, *values]
