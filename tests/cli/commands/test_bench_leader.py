import json

from peerdistill.cli import tables
from support.console import printed, silent_console


def test_bench_leader_prints_the_promised_keys(peers, peerdistill):
    found = json.loads(peerdistill("bench-leader", peers[0], "--checkpoint", "best", "--repeats", "1", "--json").stdout)
    assert set(found) == {"run", "checkpoint", "epoch", "repeats", "machine", "test", "forms"}
    assert (found["run"], found["checkpoint"], found["epoch"], found["repeats"]) == (str(peers[0]), "best", 1, 1)
    assert {"processor", "cores", "int8_instructions", "threads", "load_average", "packages"} <= set(found["machine"])
    assert list(found["forms"]) == ["pytorch", "onnx", "int8"]
    for form in found["forms"].values():
        assert set(form) == {"bytes", "accuracy", "milliseconds"}
        assert set(form["milliseconds"]) == {"1", "64"}
        assert all(time > 0 for time in form["milliseconds"].values())
    expected = json.loads(peers[1].stdout)["best"]["test"]
    assert found["test"] == {"samples": expected["samples"]}
    for form in ("pytorch", "onnx"):
        assert found["forms"][form]["accuracy"] == expected["leader"]
    small = found["forms"]["int8"]
    assert small["bytes"] < 0.4 * found["forms"]["onnx"]["bytes"]
    assert abs(small["accuracy"]["top1"] - expected["leader"]["top1"]) <= 100 * 3 / expected["samples"]


def test_bench_leader_shows_a_table_and_writes_nothing(peers, peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    before = sorted(peers[0].rglob("*"))
    text = " ".join(peerdistill("bench-leader", peers[0], "--repeats", "1").stdout.split())
    for words in ("PyTorch eager", "ONNX float32", "ONNX int8", "batch 1", "batch 64", "test images", "threads"):
        assert words in text
    assert sorted(peers[0].rglob("*")) == before


def test_bench_leader_reports_no_accuracy_without_test_images(at_home, peerdistill):
    found = json.loads(peerdistill("bench-leader", "runs/divided", "--repeats", "1", "--json").stdout)
    assert found["test"] is None
    assert [form["accuracy"] for form in found["forms"].values()] == [None] * 3
    console = silent_console()
    console.print(tables.leader_bench(found))  # what the command prints without --json
    assert "no test images, so no accuracy" in printed(console)
    assert "accuracy │" not in printed(console)
