"""What a few-shot comparison found: a record that outlives its runs, and the tables made of it.

``results.json`` keeps each run's accuracies and each paired difference. Tables written where some of the runs are no
longer there (another machine, a folder that was emptied) keep what it says of them.
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

NOTE = """
Leaders, last epoch, percent: mean and standard deviation over seeds (of a single seed, in brackets, the 95 % interval
over test episodes). Differences are paired: the same test episodes and training seeds; ± is the 95 % interval over
episodes, and says nothing of further seeds.
"""

Record = dict[str, Any]
"""``episodes`` a run, ``runs`` by name, and ``differences`` to the baseline by method: one of each set of seeds that
were there together. What was measured is, by column, a mean and its 95 % interval over test episodes, null where none
was kept."""


def write_tables(runs: Runs, folder: Path) -> None:
    """Add what is there to the record, and write its tables: leaders, differences (both beside the paper's figures),
    ensembles."""
    folder.mkdir(exist_ok=True)
    file = folder / "results.json"
    record = _read(file, runs.study)
    for cell in runs.study.cells:
        _note_runs(record, runs, cell)
    for cell in runs.study.cells[1:]:
        _note_difference(record, runs, cell)
    file.write_text(json.dumps(record, indent=2) + "\n")
    tables = [_leaders(record, runs.study), _differences(record, runs.study), _ensembles(record, runs.study)]
    (folder / "results.md").write_text("\n\n".join(tables) + f"\n{NOTE}")


def _read(file: Path, study: Study) -> Record:
    """Return the record, which is empty where it was of longer or shorter runs."""
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
    """Note the mean difference over the seeds that are there, in place of what is known of some of these alone."""
    own, base = runs.finished(cell), runs.finished(runs.study.baseline)
    seeds = sorted(own.keys() & base.keys())
    if seeds:
        apart = np.mean([runs.leader(own[seed]) - runs.leader(base[seed]) for seed in seeds], axis=0)
        known = record["differences"].get(cell.label, [])
        others = [note for note in known if not set(note["seeds"]) <= set(seeds)]
        notes = [*others, {"seeds": seeds, **_measured(apart, runs.study)}]
        record["differences"][cell.label] = sorted(notes, key=lambda note: note["seeds"])


def _measured(accuracies: np.ndarray, study: Study) -> dict[str, tuple[float, float]]:
    """Return mean and interval by column, of figures (columns, episodes)."""
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
    """Return what is known of a cell's runs, by seed."""
    names = (cell.run(seed) for seed in study.seeds)
    return [record["runs"][name] for name in names if name in record["runs"]]


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _spreads(by_seed: list[dict], study: Study) -> Iterable[str]:
    """Yield what a row says in each column."""
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
    """Return what stands in the paper's columns, where there are any."""
    return [form.format(figure) for figure in figures] if figures else ["-"] * len(_paper_columns(study))
