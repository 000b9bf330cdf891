"""Results as tables for a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from peerdistill.deploy import Prediction

_EPOCHS = {"last": "last epoch", "best": "best epoch on validation"}


def result(values: Mapping[str, Any]) -> Table:
    """Return the table of a run's result: the last epoch, and beside it the one that was best on validation."""
    split = "test" if "test" in values["last"] else "val" if "val" in values["last"] else None
    if split is None:
        return Table("trained; there are no images to evaluate on")
    table = Table(title=f"top-1 accuracy on {_split_name(split)}")
    found = {which: values[which] for which in ("last", "best") if values[which]}
    columns = [f"{_EPOCHS[which]} ({value['epoch']})" for which, value in found.items()]
    return _voters(table, columns, [value[split] for value in found.values()])


def evaluations(values: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of a run's checkpoints on one split, a column each."""
    first = values[0]
    table = Table(title=f"top-1 accuracy on {first['samples']} {_split_name(first['split'])}")
    return _voters(table, [f"{_EPOCHS[value['checkpoint']]}" for value in values], values)


def predictions(found: "Sequence[Prediction]") -> Table:
    """Return the table of predictions, a picture a row."""
    table = Table("picture", "most probable classes")
    for prediction in found:
        pairs = zip(prediction.classes, prediction.probabilities, strict=True)
        table.add_row(escape(str(prediction.path)), escape(", ".join(f"{name} {share:.1%}" for name, share in pairs)))
    return table


def _voters(table: Table, columns: Sequence[str], values: Sequence[Mapping[str, Any]]) -> Table:
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    peers = len(values[0]["peers"])
    for number in range(peers - 1):
        table.add_row(f"peer {number}", *(_percent(value["peers"][number]) for value in values))
    table.add_row("leader", *(_percent(value["leader"]) for value in values), style="bold")
    if peers > 1:
        table.add_row("ensemble", *(_percent(value["ensemble"]) for value in values))
    return table


def _percent(accuracy: Mapping[str, float]) -> str:
    top5 = f" (top-5 {accuracy['top5']:.2f} %)" if "top5" in accuracy else ""
    return f"{accuracy['top1']:.2f} %{top5}"


def _split_name(split: str) -> str:
    return {"test": "test images", "val": "validation images"}[split]
