"""The table of a summary, which every renderer shows: parts with named columns, and sentences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from peerdistill.errors import some_of
from peerdistill.study.record import PREDICTORS
from peerdistill.study.results.best_length import ABOUT_EQUAL
from peerdistill.study.results.equal_compute import BestOf, Longer
from peerdistill.study.results.groups import ERRORS
from peerdistill.study.results.intervals import BOOTSTRAP, CROSSED, STUDENT
from peerdistill.study.results.summary import PLAIN, Line, Summary
from peerdistill.study.results.values import Amount, Difference, OverSeeds, PaperFigure

RESULTS, COMPUTE, ANALYSES = "Results", "Equal compute", "Analyses"
SCALE = "scale"
"""The column that says what was reduced in the runs of a row."""
KEYS = ""
"""The part of the columns that identify a row."""

_METHODS = {
    STUDENT: "Student's t over seeds (a bootstrap over so few is too narrow), on the same test images for all",
    BOOTSTRAP: "a bootstrap",
    CROSSED: "an analysis of variance over seeds and the test episodes that they share",
}


Value = str | int | float | OverSeeds | Amount | PaperFigure | Longer | BestOf | Difference | None
Row = Mapping[str, Mapping[str, Value]]
"""Value by column by part."""


@dataclass(frozen=True)
class Table:
    """A table in parts, one below the other, whose rows are the same.

    Attributes:
        title: Its title.
        rows: Its rows. All have the same columns, at least one row has a value in each.
        verdicts: Sentences that compare rows, with intervals.
        notes: Sentences that explain columns and verdicts.
        reasons: Sentences that say why results are missing.
        details: All of the verdicts, for programs.
    """

    title: str
    rows: tuple[Row, ...]
    verdicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    details: tuple[Mapping[str, Any], ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that have columns, without that of the columns that identify a row."""
        return tuple(part for part, values in self.rows[0].items() if values and part != KEYS) if self.rows else ()

    def columns(self, part: str) -> tuple[str, ...]:
        """The columns of a part."""
        return tuple(self.rows[0][part]) if self.rows else ()


def is_text(value: Value) -> bool:
    """Return whether a value is a text, which is aligned to the left."""
    return isinstance(value, str)


def table_of(summary: Summary) -> Table:
    """Return the table of a summary. Columns without any value are left out."""
    rows = tuple(_row(summary, line) for line in summary.lines)
    return Table(
        title=f"{summary.title}, scale {summary.scale}",
        rows=_without_empty_columns(rows),
        verdicts=tuple(verdict.sentence for verdict in summary.verdicts),
        notes=tuple(_notes(summary)),
        reasons=tuple(_reasons(summary.reasons)),
        details=tuple(verdict.as_dict() for verdict in summary.verdicts),
    )


def _reasons(reasons: Mapping[str, str]) -> Iterator[str]:
    """Yield every reason once, with the runs that it is the reason for."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    for reason, of_reason in names.items():
        yield f"{some_of(of_reason)}: {reason}"


def _row(summary: Summary, line: Line) -> Row:
    return {KEYS: _keys(summary, line), RESULTS: _results(line), COMPUTE: _compute(line), ANALYSES: line.analyses}


def _keys(summary: Summary, line: Line) -> dict[str, Value]:
    keys: dict[str, Value] = {axis: line.labels.get(axis, PLAIN if axis == "method" else None) for axis in summary.axes}
    return keys if line.column in ERRORS else {**keys, "episodes": line.column}


def _results(line: Line) -> dict[str, Value]:
    unit = f"{line.column if line.column in ERRORS else 'accuracy'}, %"
    found: dict[str, Value] = {"seeds": _seeds(line)}
    found |= {f"{name} {unit}" if name == "leader" else name: line.last.get(name) for name in PREDICTORS}
    found["leader, best on validation"] = line.best.get("leader")
    for name in PREDICTORS:
        of = "" if name == "leader" else f", {name}"
        above, published = line.above_paper(name), line.paper.get(name)
        found[f"paper{of}"] = published and PaperFigure(published.mean, published.std)
        found[f"minus paper{of}"] = None if above is None else Difference(above)
    return {**found, SCALE: line.statement}


def _seeds(line: Line) -> str | int:
    """Return the number of seeds, and what is missing."""
    if not line.unfinished:
        return line.seeds
    missing = ", ".join(f"{count} {status}" for status, count in line.unfinished.items())
    return f"{line.seeds} of {line.planned} ({missing})"


def _compute(line: Line) -> dict[str, Value]:
    """Return what stands beside the leader: its compute, and the plain network with as much of it."""
    found: dict[str, Value] = {
        "leader": line.last.get("leader"),
        "seconds": line.time and Amount(line.time.mean),
        "multiply-adds, G": line.multiply_adds and Amount(line.multiply_adds.mean / 1e9),
    }
    for compute, name in (("equal time", "same seconds"), ("equal multiply-adds", "same multiply-adds")):
        found[f"plain network, {name}"] = line.equal.get(compute)
    found["plain network, best length"] = line.best_length
    return {**found, "best of M plain networks": line.best_of}


def _without_empty_columns(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Give all rows the columns that have a value in any row; the compute only stands where it is compared."""
    names: dict[str, dict[str, None]] = {}
    for row in rows:
        for part, values in row.items():
            used = {name: None for name, value in values.items() if value is not None}
            names.setdefault(part, {}).update(used)
    # In the order of a row that has all of them.
    return tuple(
        {part: {name: row[part].get(name) for name in _ordered(rows, part, used)} for part, used in names.items()}
        for row in rows
    )


def _ordered(rows: tuple[Row, ...], part: str, used: Mapping[str, None]) -> list[str]:
    known = dict.fromkeys(name for row in rows for name in row[part])
    return [name for name in known if name in used]


def _notes(summary: Summary) -> Iterator[str]:
    """Yield what the reader has to know about the columns and the verdicts."""
    yield from dict.fromkeys(f"{line.labels['dataset']}, scale {line.statement}." for line in summary.lines)
    yield from (f"{sentence}." for sentence in summary.different_images)
    yield "Figures are means over seeds ± sample standard deviations, of the last epoch."
    if any(line.equal for line in summary.lines):
        yield (
            "Same seconds: the plain network is trained for as many epochs, rounded up, as take the measured time "
            "of the method; same multiply-adds likewise."
        )
    if any(line.has_teacher and line.seeds for line in summary.lines):
        yield "Seconds and multiply-adds of a student include the training of its teacher."
    if len(summary.processors) > 1:
        listed = "; ".join(summary.processors)
        yield f"The runs were trained on different processors, so compare seconds with care: {listed}."
    if any(line.best_length for line in summary.lines):
        yield (
            f"Best length: the best of the plain networks that differ in their epochs and take up to {ABOUT_EQUAL:g} "
            "times as long as the method, or as many multiply-adds if they ran on different machines. A choice on the "
            "test set favours the plain network."
        )
    chosen = {line.best_of.chosen_on for line in summary.lines if line.best_of is not None}
    if "test" in chosen:
        yield "Best of M: chosen on the test set, which favours the plain network."
    methods = {verdict.interval.method for verdict in summary.verdicts if verdict.interval is not None}
    if methods:
        how = "; ".join(_METHODS[method] for method in sorted(methods))
        count = len(summary.verdicts)
        yield f"Each verdict has its own 95 % interval, not corrected for their number ({count}): {how}."
