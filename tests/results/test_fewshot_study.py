"""The few-shot comparisons of docs/results: what is trained, and what their tables say of it."""

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

OPTIONS = (
    "--ways 3 --shots 1 --queries 2 --episodes_per_epoch 1 --validation.queries 2 --validation.episodes 2 "
    "--validation.ways 2 --test.ways 2 --test.queries 2 --test.episodes 2"
)


@pytest.fixture
def study_module(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "docs/results"))
    return import_module("fewshot_study")


@pytest.fixture
def arrays(tmp_path) -> Path:
    """Enough classes for 5-way 5-shot tests: 25 kinds of stripes, 20 images each."""
    images = np.random.default_rng(0).integers(0, 200, (25, 20, 16, 16), dtype=np.uint8)
    for number in range(25):
        images[number, :, number % 16 :: 2 + number // 16] += 55
    file = tmp_path / "stripes.npz"
    names = [f"stripes{number}" for number in range(25)]
    np.savez(file, images=images.reshape(-1, 16, 16), labels=np.arange(25).repeat(20), class_names=names)
    return file


def test_tables_say_what_the_runs_do(study_module, arrays, tmp_path):
    cells = (
        study_module.Cell("baseline", "one network", "--method baseline --peers 1", (60.0, 70.0)),
        study_module.Cell("DML", "branch", "--method dml --peers 2 --sharing branch", (61.5, 70.0)),
        study_module.Cell("RKD-D", "one student", "--method rkd-d", is_taught=True),
    )
    study = study_module.Study(f"npz:{arrays}", episodes=1, cells=cells, seeds=(0, 1), options=OPTIONS)
    runs = study_module.Runs(study, tmp_path / "runs")
    planned = [(cell.label, seed) for cell, seed in study.planned()]
    assert planned[:3] == [("baseline", 0), ("baseline", 1), ("DML", 0)]
    assert len(set(planned)) == 6
    for cell, seed in ((cells[0], 0), (cells[0], 1), (cells[1], 0), (cells[2], 0)):
        runs.train(cell, seed, tmp_path)
    before = runs.folder(cells[0], 0).stat().st_mtime_ns
    runs.train(cells[0], 0, tmp_path)
    assert runs.folder(cells[0], 0).stat().st_mtime_ns == before
    student = (runs.folder(cells[2], 0) / "config.yaml").read_text()
    assert str(runs.folder(cells[0], 1)) in student

    study_module.write_tables(runs, tmp_path)
    rows = [line for line in (tmp_path / "results.md").read_text().splitlines() if line.startswith("| ")]
    alone, other, dml = (runs.leader(runs.folder(*run)) for run in ((cells[0], 0), (cells[0], 1), (cells[1], 0)))
    means = alone[0].mean(), other[0].mean()
    (row,) = (row for row in rows if row.startswith("| baseline | one network | 2 of 2 |"))
    assert f"| {np.mean(means):.2f} ± {np.std(means, ddof=1):.2f} |" in row
    assert row.endswith("| 60.00 | 70.00 |")
    (row,) = (row for row in rows if row.startswith("| DML | branch | 1 of 2 |"))
    assert f"| {dml[0].mean():.2f} (± " in row
    apart, together = (row for row in rows if row.startswith("| DML | ") and "branch" not in row)
    assert apart.startswith(f"| DML | {(dml - alone)[0].mean():+.2f} ± ")
    assert apart.endswith("| +1.50 | +0.00 |")
    ensemble = runs.ensemble(runs.folder(cells[1], 0))
    assert together.startswith(f"| DML | {ensemble[0].mean():.2f} (± ")
    (row,) = (row for row in rows if row.startswith("| RKD-D | one student |"))
    assert row.endswith("| - | - |")
    written = json.loads((tmp_path / "results.json").read_text())
    assert written["dml-0"]["leader"]["5-way 1-shot"] == pytest.approx(dml[0].mean())
