import json
import os

import pytest

from peerdistill.files import WriteError
from peerdistill.training import MetricsFile


def test_lines_are_json_and_can_be_read(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    assert metrics.read() == []
    assert metrics.size == 0
    records = [{"epoch": 1, "loss": {"total": 0.1}}, {"epoch": 2, "loss": {"total": 1 / 3}, "validation": None}]
    for record in records:
        metrics.append(record)
    assert metrics.read() == records
    assert [json.loads(line) for line in metrics.path.read_text().splitlines()] == records
    assert metrics.size == len(metrics.path.read_bytes())


def test_lines_after_a_checkpoint_are_removed(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"epoch": 1})
    remembered = metrics.size
    metrics.append({"epoch": 2})
    with metrics.path.open("a") as file:
        file.write('{"epo')  # killed while writing a line
    metrics.truncate(remembered)
    assert metrics.read() == [{"epoch": 1}]
    metrics.append({"epoch": 2})
    assert metrics.read() == [{"epoch": 1}, {"epoch": 2}]


@pytest.mark.parametrize(
    ("left", "kept", "warning"),
    [
        (0, 0, "is missing or empty: lines of earlier epochs are gone"),
        (5, 0, "has lost 23 of 28 bytes: lines of earlier epochs are gone"),
        (20, 14, "has lost 8 of 28 bytes: lines of earlier epochs are gone"),
        (28, 28, ""),
        (42, 28, ""),
    ],
)
def test_lost_lines_give_a_warning_and_incomplete_ones_are_removed(tmp_path, left, kept, warning):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for epoch in (1, 2, 3):
        metrics.append({"epoch": epoch + 10})
    metrics.truncate(left)
    found = metrics.go_back(28)
    assert found == (f"{metrics.path} {warning}" if warning else "")
    assert metrics.size == kept


def test_a_full_disk_keeps_earlier_lines(tmp_path, monkeypatch):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.append({"epoch": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"metrics\.jsonl can't be written: no space left on device"):
        metrics.append({"epoch": 2})
    assert metrics.read() == [{"epoch": 1}]


def test_truncating_never_extends_or_creates_a_file(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.truncate(0)
    assert not metrics.path.exists()
    metrics.append({"epoch": 1})
    size = metrics.size
    metrics.truncate(size + 100)
    assert metrics.size == size
