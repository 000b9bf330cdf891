"""What ``peerdistill reproduce`` prints: the cells before they are trained, and how they have ended."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from peerdistill.study.wide_table import Column, WideTable

if TYPE_CHECKING:
    from peerdistill.study.plan import Study
    from peerdistill.study.record import CellRecord
    from peerdistill.study.runner.listing import Listing


def listing(study: "Study", found: "Listing") -> WideTable:
    """Return a table of all runs with their state, steps and time. What all of them share stands in its title."""
    axes = dict.fromkeys(axis for one in found.cells for axis in one.cell.labels)
    about = {axis: [one.cell.labels.get(axis, "") for one in found.cells] for axis in axes}
    about["role"] = [one.cell.role for one in found.cells]
    shared = [cells[0] for name, cells in about.items() if len(set(cells)) == 1 and name != "role"]
    keys = [Column(name, cells) for name, cells in about.items() if len(set(cells)) > 1]
    keys.append(Column("seed", [str(one.cell.seed) for one in found.cells]))
    steps = ["" if one.steps is None else f"{one.steps:,}" for one in found.cells]
    times = ["" if one.seconds is None else duration(one.seconds) for one in found.cells]
    columns = [Column("state", [one.state for one in found.cells])]
    columns += [Column("steps", steps, is_number=True), Column("time", times, is_number=True)]
    return WideTable(", ".join([study.title, *shared]), keys, columns)


def total(study: "Study", found: "Listing") -> Text:
    """Return in words how much is left, why cells can't be trained, and how the study is reduced."""
    lines = [f"{name}, scale {study.scale.statement(name)}" for name in study.datasets]
    reasons = Counter(one.reason for one in found.cells if one.reason)
    lines += [f"{count} of the runs cannot be trained: {reason}" for reason, count in reasons.items()]
    done = sum(one.state == "finished" for one in found.cells)
    at_a_time = f", {found.jobs} at a time" if found.jobs > 1 else ""
    lines.append(
        f"total: {len(found.cells)} runs, {done} finished; {len(found.left)} left with {found.steps:,} steps, about "
        f"{duration(found.seconds)} on this machine{at_a_time} (from a short trial of each configuration)"
    )
    return Text("\n".join(lines))


def outcome(cells: "Sequence[CellRecord]", out: Path) -> Text:
    """Return in words how the cells of a study have ended."""
    return Text("\n".join(_outcome(cells, out)))


def _outcome(cells: "Sequence[CellRecord]", out: Path) -> Iterator[str]:
    for cell in cells:
        if cell.status == "failed":
            yield f"failed: {cell.name}: {cell.reason}"
    for reason in dict.fromkeys(cell.reason for cell in cells if cell.status == "no data"):
        yield f"no data: {reason}"
    counts = Counter(cell.status for cell in cells)
    runs = "1 run" if len(cells) == 1 else f"{len(cells)} runs"
    yield f"{runs}: {', '.join(f'{count} {status}' for status, count in counts.items())}"
    yield f"results are in {out}"


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds.

    Example:
        >>> duration(3725.4)
        '1:02:05'
    """
    return str(timedelta(seconds=round(seconds)))
