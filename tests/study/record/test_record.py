import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.errors import UserError
from peerdistill.study.record import CellRecord, Record
from peerdistill.study.record.record import write_episodes, write_log

FIGURES = {"error": {"leader": 31.25, "mean peer": 32.5, "ensemble": None}}


def cell(name: str = "a-s0", status="finished", **more) -> CellRecord:
    labels = {"dataset": "digits", "method": name}
    return CellRecord(name, labels, "classes", "method", 0, status, **more)


def record(*cells: CellRecord) -> Record:
    return Record("Table 2", "smoke", {"digits": "smoke: 3 of 10 classes"}, cells)


NAMES = st.sampled_from(["a-s0", "a-s1", "b-s0"])
STATUSES = st.sampled_from(["finished", "failed", "interrupted", "planned", "no data"])
RECORDS = st.lists(st.builds(cell, NAMES, STATUSES, seconds=st.floats(0, 10)), max_size=4, unique_by=lambda c: c.name)


@given(RECORDS, RECORDS)
def test_a_merged_record_never_loses_a_cell_or_a_result(older, newer):
    merged = record(*older).merged(record(*newer))
    names = {one.name for one in merged.cells}
    assert names == {one.name for one in (*older, *newer)}
    assert len(merged.cells) == len(names)
    finished = {one.name for one in merged.cells if one.finished}
    assert finished == {one.name for one in (*older, *newer) if one.finished}
    for one in newer:
        if one.finished:  # the newer result counts
            assert merged.find(one.name) == one


@given(RECORDS)
def test_merging_a_record_with_itself_changes_nothing(cells):
    assert record(*cells).merged(record(*cells)).cells == record(*cells).cells


def test_a_written_record_is_read_again(tmp_path):
    full = cell(
        last=FIGURES, best=None, options={"epochs": 3, "optimizer": {"lr": 0.1}}, epochs=3, multiply_adds=10**15
    )
    written = record(full, cell("b-s0", "failed", reason="out of memory")).write(tmp_path / "new" / "folder")
    found = Record.read(tmp_path / "new" / "folder")
    assert found == written
    assert found.cells[0] == full
    assert found.cells[1].reason == "out of memory"
    assert [file.name for file in (tmp_path / "new" / "folder").iterdir()] == ["results.json"]


def test_a_record_that_has_not_changed_is_not_written_again(tmp_path):
    record(cell(last=FIGURES)).write(tmp_path)
    before = (tmp_path / "results.json").stat()
    record(cell(last=FIGURES)).write(tmp_path)
    assert (tmp_path / "results.json").stat().st_ino == before.st_ino


def test_one_run_can_stand_in_several_places(tmp_path):
    baseline = cell(last=FIGURES)
    other = replace(baseline, labels={"dataset": "digits", "method": "other name"})
    both = record(baseline).merged(record(other))
    assert [one.labels["method"] for one in both.cells] == ["a-s0", "other name"]


def test_a_result_counts_for_all_places_of_its_run():
    planned = replace(cell(status="planned"), role="plain")
    merged = record(planned).merged(record(cell(last=FIGURES)))
    assert [(one.role, one.status, one.last) for one in merged.cells] == [
        ("plain", "finished", FIGURES),
        ("method", "finished", FIGURES),
    ]


def test_analyses_are_kept_when_the_run_is_read_again():
    before = cell(analyses={"similarity": {"intra": 0.5}}, multiply_adds=7)
    merged = record(before).merged(record(cell(seconds=3.0, analyses={"cka": {"mean": 0.25}})))
    assert merged.cells[0].analyses == {"similarity": {"intra": 0.5}, "cka": {"mean": 0.25}}
    assert (merged.cells[0].multiply_adds, merged.cells[0].seconds) == (7, 3.0)


def test_several_writers_lose_nothing(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: record(cell(f"c-s{number}")).write(tmp_path), range(12)))
    assert {one.name for one in Record.read(tmp_path).cells} == {f"c-s{number}" for number in range(12)}


def test_the_record_of_another_study_is_not_overwritten(tmp_path):
    record(cell()).write(tmp_path)
    with pytest.raises(UserError, match="holds the results of 'Table 2' at scale smoke, found 'Table 3'"):
        replace(record(cell()), study="Table 3").write(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("cells"),
        lambda values: values["cells"][0].pop("seed"),
        lambda values: values["cells"][0].update(status="done"),
        lambda values: values["cells"][0].update(colour="red"),
        lambda values: values["cells"][0].update(last={"error": 5}),
        lambda values: values["cells"][0].update(seed="first"),
        lambda values: values.update(statement=["smoke"]),
        lambda values: values.update(cells=[3]),
    ],
)
def test_a_damaged_record_is_a_user_error(tmp_path, change):
    record(cell()).write(tmp_path)
    file = tmp_path / "results.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    with pytest.raises(UserError):
        Record.read(tmp_path)


def test_logs_and_episodes_lie_beside_the_record(tmp_path):
    kept = record(cell()).write(tmp_path)
    assert kept.log("a-s0") == []
    assert kept.episodes("a-s0") == {}
    log = [{"epoch": 1, "loss": {"total": 0.5}, "validation": None}, {"epoch": 2, "loss": {"total": 0.25}}]
    write_log(tmp_path, "a-s0", {"cores": 2}, log)
    accuracies = {"5-way 1-shot": np.linspace(0, 100, 7, dtype=np.float32)}
    write_episodes(tmp_path, "a-s0", accuracies)
    assert kept.log("a-s0") == log
    assert kept.environment("a-s0") == {"cores": 2}
    np.testing.assert_array_equal(kept.episodes("a-s0")["5-way 1-shot"], accuracies["5-way 1-shot"])
