"""Curves over the epochs of one run, and the overlaid curves of several."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from peerdistill.study.report.charts import Chart, Line, lines
from peerdistill.study.report.groups import Group
from peerdistill.study.report.reported_run import ReportedRun

MOST_POINTS = 400
"""Most points of a line. Longer ones keep every second epoch, or every third, and the last."""

_ACCURACY = "accuracy, %"
_ORDINALS = {2: "second", 3: "third"}


def curves_of(reported: ReportedRun, id: str) -> list[Chart]:
    """Return the curves of one run: the loss and its parts, the accuracy on validation images, the learning rate.

    Args:
        reported: The run.
        id: Beginning of the identifiers of the charts.
    """
    if not reported.records:
        return []
    records = _thinned(reported.records)
    thinned = _thinned_note(reported.records)
    found = [
        lines(
            f"{id}-loss",
            "Training loss",
            f"The loss and its parts, each with its weight: means over an epoch.{thinned}",
            list(_loss_lines(records)),
            y="loss",
        )
    ]
    if validated := [record for record in records if record.get("validation")]:
        found.append(
            lines(
                f"{id}-accuracy",
                f"Accuracy on validation {_samples(reported)}",
                f"Top-1 accuracy of every peer, the leader and the ensemble.{thinned}",
                list(_accuracy_lines(validated)),
                y=_ACCURACY,
            )
        )
    rates = [_line("learning rate", records, lambda record: record.get("lr"), 0)]
    found.append(
        lines(f"{id}-lr", "Learning rate", f"At the last step of an epoch.{thinned}", rates, y="learning rate")
    )
    return found


def overlaid(groups: Sequence[Group]) -> list[Chart]:
    """Return the curves of several runs in the same charts; runs that differ only in their seed have one colour."""
    samples = _samples(groups[0].runs[0])
    shown = [
        ("leader", f"Leader on validation {samples}", "Top-1 accuracy of the leader.", _ACCURACY, _leader),
        ("ensemble", f"Ensemble on validation {samples}", "Top-1 accuracy of the ensemble.", _ACCURACY, _ensemble),
        ("loss", "Training loss", "The sum of all parts, each with its weight: mean over an epoch.", "loss", _total),
        ("lr", "Learning rate", "At the last step of an epoch.", "learning rate", _rate),
    ]
    longest = max((reported.records for group in groups for reported in group.runs), key=len, default=[])
    thinned = _thinned_note(longest)
    found = []
    for name, title, note, unit, value in shown:
        drawn = list(_lines_of(groups, value))
        if drawn:
            found.append(lines(f"all-{name}", title, f"{note}{thinned}", drawn, y=unit))
    return found


def _samples(reported: ReportedRun) -> str:
    return "episodes" if reported.config.kind == "episodes" else "images"


Value = Callable[[Mapping[str, Any]], float | int | None]


def _lines_of(groups: Sequence[Group], value: Value) -> Iterator[Line]:
    for colour, group in enumerate(groups):
        for reported in group.runs:
            line = _line(reported.name, _thinned(reported.records), value, colour, group.label)
            if any(y is not None for y in line.y):
                yield line


def _line(
    name: str, records: Sequence[Mapping[str, Any]], value: Value, colour: int, group: str = "", style: str = "solid"
) -> Line:
    return Line(name, [record["epoch"] for record in records], [value(one) for one in records], colour, group, style)


def _loss_lines(records: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    parts = [name for name in records[0]["loss"] if name != "total"]
    for number, part in enumerate(parts):
        yield _line(part.replace("_", "-"), records, lambda record, part=part: record["loss"].get(part), number + 1)
    if len(parts) != 1:
        yield _line("total", records, _total, 0)


def _accuracy_lines(records: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    peers = len(records[0]["validation"]["peers"])
    for number in range(peers - 1):

        def peer(record: Mapping[str, Any], number: int = number) -> float | int | None:
            return record["validation"]["peers"][number]["top1"]

        yield _line(f"peer {number}", records, peer, 2 + number, style="thin")
    if peers > 1:
        yield _line("ensemble", records, _ensemble, 1, style="dash")
    yield _line("leader", records, _leader, 0)
    for name in (name for name in records[0]["validation"] if name in ("ema", "average")):
        yield _line(name, records, lambda record, name=name: record["validation"][name]["top1"], peers + 2)


def _total(record: Mapping[str, Any]) -> float | int | None:
    return record["loss"].get("total")


def _rate(record: Mapping[str, Any]) -> float | int | None:
    return record.get("lr")


def _leader(record: Mapping[str, Any]) -> float | int | None:
    return record["validation"]["leader"]["top1"] if record.get("validation") else None


def _ensemble(record: Mapping[str, Any]) -> float | int | None:
    found = record.get("validation")
    return found["ensemble"]["top1"] if found and len(found["peers"]) > 1 else None


def _step(records: Sequence[Any]) -> int:
    return -(-len(records) // MOST_POINTS) or 1


def _thinned(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    step = _step(records)
    kept = list(records[step - 1 :: step])
    return kept if not records or kept[-1] is records[-1] else [*kept, records[-1]]


def _thinned_note(records: Sequence[Any]) -> str:
    step = _step(records)
    return "" if step == 1 else f" Of {len(records)} epochs, every {_ORDINALS.get(step, f'{step}th')} is shown."
