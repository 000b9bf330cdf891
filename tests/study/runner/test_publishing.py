import json

import pytest
import yaml

from peerdistill.study.plan import load_study
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.runner.publishing import publish

SWEEP = {"data": "digits", "seeds": 1, "sweep": {"epochs": [1, 2]}, "figure": {"x": "epochs", "series": ["dataset"]}}
TABLES = {"results.csv", "results.md", "results.txt", "tables.json"}


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(yaml.safe_dump(SWEEP))
    return load_study(str(file))


def written(study, cells, folder) -> set[str]:
    folder.mkdir()
    publish(study, Record(study.title, "full", {}, tuple(cells)), folder)
    return {file.name for file in folder.iterdir()}


def test_results_are_tables_and_the_figure_that_the_study_asks_for(study, tmp_path):
    last = {"error": {"leader": 12.25, "mean peer": 12.5, "ensemble": None}}
    cells = [
        CellRecord(cell.name, dict(cell.labels), "classes", cell.role, 0, status="finished", epochs=1, last=last)
        for cell in study.cells
    ]
    assert written(study, cells, tmp_path / "out") == {*TABLES, "results.png"}
    assert "12.25" in (tmp_path / "out/results.txt").read_text()
    assert json.loads((tmp_path / "out/tables.json").read_text())["rows"][0]["mean peer"]["mean"] == 12.5


def test_without_results_there_are_tables_of_what_is_missing(study, tmp_path):
    assert written(study, [], tmp_path / "out") == TABLES
    assert "1 planned" in (tmp_path / "out/results.md").read_text()
