import json

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


def test_truncating_never_lengthens_or_makes_a_file(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.truncate(0)
    assert not metrics.path.exists()
    metrics.append({"epoch": 1})
    size = metrics.size
    metrics.truncate(size + 100)
    assert metrics.size == size
