"""What ``peerdistill reproduce`` prints: the cells before they are trained, and how they have ended."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from peerdistill.study.plan import Study
    from peerdistill.study.record import CellRecord
    from peerdistill.study.runner.listing import Listing


def listing(study: "Study", found: "Listing") -> Table:
    """Return a table of all runs with their state, steps and time."""
    axes = list(dict.fromkeys(axis for one in found.cells for axis in one.cell.labels))
    table = Table(*axes, "role", "seed", "state", box=box.SIMPLE, title=study.title)
    for name in ("steps", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.cells:
        labels = (one.cell.labels.get(axis, "") for axis in axes)
        steps = "" if one.steps is None else f"{one.steps:,}"
        seconds = "" if one.seconds is None else duration(one.seconds)
        about = (one.cell.role, str(one.cell.seed), one.state)
        table.add_row(*map(Text, (*labels, *about)), steps, seconds)
    return table


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
