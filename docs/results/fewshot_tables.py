"""The results of a few-shot comparison: a record that is kept when its runs are deleted, and its tables.

``results.json`` holds the accuracies of each run and each paired difference. If some runs no longer exist, the tables
still contain their results.
"""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fewshot_study import Cell, Runs, Study

from peerdistill import fewshot

OPENING, CLOSING = "<!-- tables -->", "<!-- /tables -->"

Record = dict[str, Any]
"""``episodes`` per run, ``runs`` by name, and ``differences`` from the baseline by method, one for each set of seeds
that existed together. Each figure is a mean and its 95 % interval over test episodes by column; null if it was not
kept."""


def write_tables(runs: Runs, folder: Path) -> None:
    """Add the existing runs to the record, and write its tables: leaders and their differences from the baseline, both
    beside the paper's figures, and ensembles."""
    folder.mkdir(exist_ok=True)
    file = folder / "results.json"
    record = _read(file, runs.study)
    for cell in runs.study.cells:
        _note_runs(record, runs, cell)
    for cell in runs.study.cells[1:]:
        _note_difference(record, runs, cell)
    file.write_text(json.dumps(record, indent=2) + "\n")
    tables = [_leaders(record, runs.study), _differences(record, runs.study), _ensembles(record, runs.study)]
    put_tables(folder / "results.md", "\n\n".join(tables))


def put_tables(file: Path, tables: str) -> None:
    """Write tables between the comments of a Markdown file; the text around them stays as it is."""
    text = file.read_text() if file.exists() else f"{OPENING}\n{CLOSING}\n"
    before, _, rest = text.partition(OPENING)
    _, _, after = rest.partition(CLOSING)
    file.write_text(f"{before}{OPENING}\n{tables}\n{CLOSING}{after}")


def _read(file: Path, study: Study) -> Record:
    """Return the record; it is empty if its runs had another number of episodes."""
    if file.exists():
        record = json.loads(file.read_text())
        if record["episodes"] == study.episodes:
            return record
    return {"episodes": study.episodes, "runs": {}, "differences": {}}


def _note_runs(record: Record, runs: Runs, cell: Cell) -> None:
    for folder in runs.finished(cell).values():
        note = {"seconds": runs.seconds(folder), "leader": _measured(runs.leader(folder), runs.study)}
        if runs.peers(folder) > 1:
            note["ensemble"] = _measured(runs.ensemble(folder), runs.study)
        record["runs"][folder.name] = note


def _note_difference(record: Record, runs: Runs, cell: Cell) -> None:
    """Record the mean difference over the existing seeds. It replaces differences over some of these seeds."""
    own, base = runs.finished(cell), runs.finished(runs.study.baseline)
    seeds = sorted(own.keys() & base.keys())
    if seeds:
        difference = np.mean([runs.leader(own[seed]) - runs.leader(base[seed]) for seed in seeds], axis=0)
        known = record["differences"].get(cell.label, [])
        others = [note for note in known if not set(note["seeds"]) <= set(seeds)]
        notes = [*others, {"seeds": seeds, **_measured(difference, runs.study)}]
        record["differences"][cell.label] = sorted(notes, key=lambda note: note["seeds"])


def _measured(accuracies: np.ndarray, study: Study) -> dict[str, tuple[float, float]]:
    """Return mean and interval of accuracies (columns, episodes) by column."""
    return dict(zip(study.columns, map(fewshot.mean_and_interval, torch.from_numpy(accuracies)), strict=True))


def _leaders(record: Record, study: Study) -> str:
    rows = []
    for cell in study.cells:
        notes = _notes(record, cell, study)
        minutes = ", ".join(f"{note['seconds'] / 60:.0f}" for note in notes)
        seeds = f"{len(notes)} of {len(study.seeds)}"
        figures = _spreads([note["leader"] for note in notes], study)
        rows.append([cell.label, cell.setting, seeds, minutes or "-", *figures, *_paper(cell.paper, "{:.2f}", study)])
    return _table(["method", "setting", "seeds", "training, min", *study.columns, *_paper_columns(study)], rows)


def _differences(record: Record, study: Study) -> str:
    rows = []
    for cell in study.cells[1:]:
        paper = _paper(_above(cell.paper, study.baseline.paper), "{:+.2f}", study)
        for note in record["differences"].get(cell.label, []):
            found = [f"{mean:+.2f} ± {interval:.2f}" for mean, interval in map(note.get, study.columns)]
            rows.append([cell.label, ", ".join(map(str, note["seeds"])), *found, *paper])
    return _table(["leader minus baseline", "seeds", *study.columns, *_paper_columns(study)], rows)


def _ensembles(record: Record, study: Study) -> str:
    rows = []
    for cell in study.cells:
        ensembles = [note["ensemble"] for note in _notes(record, cell, study) if "ensemble" in note]
        if ensembles:
            rows.append([cell.label, *_spreads(ensembles, study)])
    return _table(["ensemble of all peers", *study.columns], rows)


def _notes(record: Record, cell: Cell, study: Study) -> list[Record]:
    """Return the recorded runs of a cell, by seed."""
    names = (cell.run(seed) for seed in study.seeds)
    return [record["runs"][name] for name in names if name in record["runs"]]


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _spreads(by_seed: list[dict], study: Study) -> Iterable[str]:
    """Yield the text of a row in each column."""
    for column in study.columns:
        measured = [of_seed[column] for of_seed in by_seed]
        if not measured:
            yield "not run"
        elif len(measured) == 1:
            yield "{:.2f} (± {:.2f})".format(*measured[0])
        else:
            means = [mean for mean, _ in measured]
            yield f"{statistics.mean(means):.2f} ± {statistics.stdev(means):.2f}"


def _above(figures: tuple[float, ...] | None, base: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if figures is None or base is None:
        return None
    return tuple(figure - of_base for figure, of_base in zip(figures, base, strict=True))


def _paper_columns(study: Study) -> list[str]:
    return [f"paper {column}" for column in study.columns if study.has_paper]


def _paper(figures: tuple[float, ...] | None, form: str, study: Study) -> list[str]:
    """Return the text of the paper's columns, if there are any."""
    return [form.format(figure) for figure in figures] if figures else ["-"] * len(_paper_columns(study))
