import json
import os

import pytest

from peerdistill.files import WriteError
from peerdistill.training import MetricsFile


def test_lines_are_json_and_come_back(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    assert metrics.read() == []
    assert metrics.size == 0
    records = [{"epoch": 1, "loss": {"total": 0.1}}, {"epoch": 2, "loss": {"total": 1 / 3}, "validation": None}]
    for record in records:
        metrics.append(record)
    assert metrics.read() == records
    assert [json.loads(line) for line in metrics.path.read_text().splitlines()] == records
    assert metrics.size == len(metrics.path.read_bytes())


def test_what_was_written_after_a_checkpoint_is_taken_back(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"epoch": 1})
    remembered = metrics.size
    metrics.append({"epoch": 2})
    with metrics.path.open("a") as file:
        file.write('{"epo')  # killed within a line
    metrics.truncate(remembered)
    assert metrics.read() == [{"epoch": 1}]
    metrics.append({"epoch": 2})
    assert metrics.read() == [{"epoch": 1}, {"epoch": 2}]


@pytest.mark.parametrize(
    ("left", "kept", "told"),
    [
        (0, 0, "is missing or empty: lines of epochs"),
        (5, 0, "has lost 23 of 28 bytes: lines of epochs"),
        (20, 14, "has lost 8 of 28 bytes: lines of epochs"),
        (28, 28, ""),
        (42, 28, ""),
    ],
)
def test_lines_that_are_lost_are_told_and_half_ones_go(tmp_path, left, kept, told):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for epoch in (1, 2, 3):
        metrics.append({"epoch": epoch + 10})
    metrics.truncate(left)
    said = metrics.go_back(28)
    assert told in said
    assert bool(said) == bool(told)
    assert metrics.size == kept


def test_a_full_disk_leaves_the_lines_before(tmp_path, monkeypatch):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"epoch": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"metrics\.jsonl can't be written: no space left on device"):
        metrics.append({"epoch": 2})
    assert metrics.read() == [{"epoch": 1}]


def test_truncating_never_lengthens_or_makes_a_file(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.truncate(0)
    assert not metrics.path.exists()
    metrics.append({"epoch": 1})
    size = metrics.size
    metrics.truncate(size + 100)
    assert metrics.size == size
