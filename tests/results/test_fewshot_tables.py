"""Tables of few-shot comparisons, and their record, which is kept when the runs are deleted."""

import json
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

PAPER = (60.0, 70.0)


@pytest.fixture
def study():
    module = import_module("fewshot_study")
    cells = (
        module.Cell("baseline", "one network", "", PAPER),
        module.Cell("DML", "branch", "", (61.5, 70.0)),
        module.Cell("RKD-D", "one student", ""),
    )
    return module.Study("miniimagenet", episodes=7, cells=cells, seeds=(0, 1))


def write(study, place: Path, folder: Path) -> list[str]:
    """Write tables of the runs in ``place``; return their rows."""
    import_module("fewshot_tables").write_tables(import_module("fewshot_study").Runs(study, place), folder)
    return [line for line in (folder / "results.md").read_text().splitlines() if line.startswith("| ")]


def finish(place: Path, name: str, predictors: int, seed: int) -> np.ndarray:
    """Write a finished run with random accuracies; return them."""
    accuracies = np.random.default_rng(seed).uniform(0, 100, (2, predictors, 600))
    (place / name).mkdir(parents=True)
    (place / name / "result.json").write_text(json.dumps({"seconds": 120.0}))
    np.save(place / name / "test-episodes.npy", accuracies)
    return accuracies


def interval(values: np.ndarray) -> float:
    return 1.96 * values.std(ddof=1) / np.sqrt(len(values))


def row(rows: list[str], start: str) -> str:
    (found,) = (line for line in rows if line.startswith(start))
    return found


def test_tables_contain_the_figures_of_the_runs(study, tmp_path):
    place = tmp_path / "runs"
    alone, other = finish(place, "baseline-0", 2, 0), finish(place, "baseline-1", 2, 1)
    dml = finish(place, "dml-0", 3, 2)
    rows = write(study, place, tmp_path)
    leader = row(rows, "| baseline | one network | 2 of 2 | 2, 2 |")
    means = [accuracies[0, 0].mean() for accuracies in (alone, other)]
    assert f"| {np.mean(means):.2f} ± {np.std(means, ddof=1):.2f} |" in leader
    assert leader.endswith("| 60.00 | 70.00 |")
    # The predictors are the peers, of which the last is the leader, and their ensemble.
    second = dml[:, 1]
    assert f"| {second[1].mean():.2f} (± {interval(second[1]):.2f}) |" in row(rows, "| DML | branch | 1 of 2 | 2 |")
    difference = (second - alone[:, 0])[0]
    line = row(rows, f"| DML | 0 | {difference.mean():+.2f} ± {interval(difference):.2f} |")
    assert line.endswith("| +1.50 | +0.00 |")
    assert row(rows, f"| DML | {dml[0, 2].mean():.2f} (± {interval(dml[0, 2]):.2f}) |")
    assert row(rows, "| RKD-D | one student | 0 of 2 | - | not run | not run |").endswith("| - | - |")


def test_differences_are_the_mean_over_the_existing_seeds(study, tmp_path):
    place = tmp_path / "runs"
    base = [finish(place, f"baseline-{seed}", 2, seed)[:, 0] for seed in (0, 1)]
    dml = [finish(place, f"dml-{seed}", 3, 2 + seed)[:, 1] for seed in (0, 1)]
    difference = (dml[0] - base[0] + dml[1] - base[1])[0] / 2
    assert row(write(study, place, tmp_path), f"| DML | 0, 1 | {difference.mean():+.2f} ± {interval(difference):.2f} |")


def test_the_record_is_kept_when_the_runs_are_deleted(study, tmp_path):
    """Another machine has only the second seed: the tables still contain the first seed, and the mean covers both."""
    place = tmp_path / "runs"
    names = {"baseline": 2, "dml": 3}
    first = {name: finish(place, f"{name}-0", predictors, 0) for name, predictors in names.items()}
    before = write(study, place, tmp_path)
    assert write(study, tmp_path / "empty", tmp_path) == before

    shutil.rmtree(place)
    second = {name: finish(place, f"{name}-1", predictors, 1) for name, predictors in names.items()}
    rows = write(study, place, tmp_path)
    assert row(rows, "| DML | 0 |") == row(before, "| DML | 0 |")
    difference = (second["dml"][:, 1] - second["baseline"][:, 0])[0]
    assert row(rows, f"| DML | 1 | {difference.mean():+.2f} ± {interval(difference):.2f} |")
    means = [accuracies["dml"][0, 1].mean() for accuracies in (first, second)]
    assert f"| {np.mean(means):.2f} ± {np.std(means, ddof=1):.2f} |" in row(rows, "| DML | branch | 2 of 2 | 2, 2 |")

    for name, predictors in names.items():
        finish(place, f"{name}-0", predictors, 0)
    seeds = [line for line in write(study, place, tmp_path) if line.startswith(("| DML | 0", "| DML | 1"))]
    assert [line.split("|")[2] for line in seeds] == [" 0, 1 "]


def test_another_number_of_episodes_starts_another_record(study, tmp_path):
    finish(tmp_path / "runs", "baseline-0", 2, 0)
    write(study, tmp_path / "runs", tmp_path)
    longer = import_module("fewshot_study").Study(study.data, 8, study.cells, study.seeds)
    assert row(write(longer, tmp_path / "empty", tmp_path), "| baseline | one network | 0 of 2 |")


def test_the_text_around_the_tables_stays(study, tmp_path):
    (tmp_path / "results.md").write_text("before\n<!-- tables -->\nold\n<!-- /tables -->\nafter\n")
    finish(tmp_path / "runs", "baseline-0", 2, 0)
    write(study, tmp_path / "runs", tmp_path)
    text = (tmp_path / "results.md").read_text()
    assert text.startswith("before\n<!-- tables -->\n| method |")
    assert text.endswith("|\n<!-- /tables -->\nafter\n")
    assert "old" not in text
