import csv
import json

import pytest

from peerdistill.training import LoggedRun
from peerdistill.training.loggers import find
from support.logged import LOSS, record


@pytest.fixture
def write_metrics(tmp_path):
    """Return a function that writes the lines of epochs to ``metrics.jsonl``, as the trainer does."""

    def write(*records: dict) -> None:
        (tmp_path / "metrics.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in records))

    return write


def rows(folder) -> list[dict]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_row_per_epoch_with_a_column_per_value(tmp_path):
    log = find("csv").open(LoggedRun(tmp_path, {}))
    assert not (tmp_path / "metrics.csv").exists()  # the folder of a run that fails in its first epoch stays free
    for epoch in (1, 2):
        log.epoch(record(epoch, 10 * epoch))
    first, second = rows(tmp_path)
    assert {name: first[name] for name in ("epoch", "step", "lr")} == {"epoch": "1", "step": "10", "lr": "0.01"}
    assert {name: float(second[f"loss.{name}"]) for name in LOSS} == LOSS
    assert second["validation.peers.0.top1"] == "70.0"
    assert second["validation.leader.top1"] == "81.256"


def test_rows_after_the_checkpoint_of_a_resumed_run_are_removed(tmp_path, write_metrics):
    before = find("csv").open(LoggedRun(tmp_path, {}))
    for epoch in (1, 2, 3):
        before.epoch(record(epoch, 10 * epoch))
    write_metrics(record(1, 10), record(2, 20))  # the checkpoint is of epoch 2
    after = find("csv").open(LoggedRun(tmp_path, {}, step=20))
    assert [row["epoch"] for row in rows(tmp_path)] == ["1", "2"]
    after.epoch(record(3, 30, leader=50.0))
    assert [row["validation.leader.top1"] for row in rows(tmp_path)] == ["81.256", "81.256", "50.0"]


def test_a_run_that_starts_again_has_no_old_rows(tmp_path, write_metrics):
    find("csv").open(LoggedRun(tmp_path, {})).epoch(record(1, 10))
    write_metrics()
    find("csv").open(LoggedRun(tmp_path, {}))
    assert not (tmp_path / "metrics.csv").exists()


def test_values_that_only_some_epochs_have_are_empty_in_the_others(tmp_path):
    log = find("csv").open(LoggedRun(tmp_path, {}))
    log.epoch(record(1, 10, leader=None))
    log.epoch(record(2, 20))
    first, second = rows(tmp_path)
    assert first["validation.leader.top1"] == ""
    assert second["validation.leader.top1"] == "81.256"
