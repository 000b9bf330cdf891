"""What training costs, by variant: what :mod:`peerdistill.study.cost` computes, beside the time that was measured."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from peerdistill.errors import UserError
from peerdistill.study.cost import cost_of_run
from peerdistill.study.cost.units import in_units
from peerdistill.study.report.charts import Section, Table
from peerdistill.study.report.groups import Group
from peerdistill.study.report.run_tables import duration
from peerdistill.study.training_time import MEANING

_ROWS = (
    "parameters of the deployed leader",
    "parameters that learn",
    "multiply-adds of a batch",
    "of the leader alone",
    "multiply-adds of the whole training",
    "times those of the leader alone",
    "memory",
    "of it memory banks and queues",
    "of it activations",
    "training time",
)


def cost_section(groups: Sequence[Group]) -> Section | None:
    """Return the cost of training with a column for each variant; None if it can be computed for none.

    It is computed from the first run of a variant that has a checkpoint.
    """
    columns, notes = {}, []
    for group in groups:
        try:
            columns[group.label] = _column(group)
        except UserError as error:
            notes.append(f"The cost of {group.label} is not known: {error}")
    if not columns:
        return None
    rows = [[name, *(column[place] for column in columns.values())] for place, name in enumerate(_ROWS)]
    about = "Computed from the configuration, forward and backward pass counted separately. The time was measured."
    return Section("cost", "Cost of training", [about, MEANING, *notes], tables=[("cost", Table(["", *columns], rows))])


def _column(group: Group) -> list[str]:
    values: dict[str, Any] = cost_of_run(group.runs[0].run, measure=False).as_dict()
    parameters, counted, memory = values["parameters"], values["multiply_adds"], values["memory"]
    seconds = group.times()
    return [
        f"{parameters['leader']:,}",
        f"{parameters['cohort'] + parameters['method']:,}",
        in_units(counted["total"]),
        in_units(counted["alone"]),
        in_units(values["training"]),
        f"{values['ratio']:.2f} x",
        *(_bytes(size) for size in (memory["total"], sum(memory["buffers"].values()), memory["activations"])),
        duration(fmean(seconds)) if seconds else "",
    ]


def _bytes(size: int) -> str:
    """Return a size such as "1.5 MB"."""
    words = in_units(size)
    return f"{words}B" if " " in words else f"{words} B"
