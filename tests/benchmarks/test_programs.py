"""Every benchmark shows its options, and prints what it measured as JSON."""

import json
import runpy
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from peerdistill import methods

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NOT_MEASURING = {"fill_figures.py", "plot_growth.py"}
PROGRAMS = sorted(
    file.name
    for file in BENCHMARKS.glob("*.py")
    if "__main__" in file.read_text(encoding="utf-8") and file.name not in NOT_MEASURING
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_shows_its_options(program, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # where Python looks first when a file is run
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / program), run_name="__main__")
    assert ended.value.code == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "--json FILE" in shown.out


def test_a_program_prints_and_writes_the_same_json(benchmark, monkeypatch, capsys, tmp_path):
    relations = benchmark("relations")
    monkeypatch.setattr(relations, "BATCHES", (4, 6))
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["relations.py", "--repeats", "1", "--json", str(file)])
    relations.main()
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(file.read_text())
    assert {"date", "hardware", "torch", "threads", "load_average", "sizes", "method"} <= set(found["header"])
    assert [row["batch"] for row in found["angles"]] == [4, 6]
    assert all(row["gradient_apart"] < 1e-5 for row in found["angles"])


@pytest.mark.filterwarnings("ignore::peerdistill.errors.PeerdistillWarning")
def test_the_program_for_gpus_measures_each_kind_once_as_a_trial(benchmark, monkeypatch, capsys, tmp_path):
    gpu = benchmark("gpu")
    file = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--smoke", "--json", str(file)])
    assert gpu.main() == 0
    shown = capsys.readouterr()
    found = json.loads(shown.out)
    assert found == json.loads(file.read_text())
    assert found["failed"] == found["skipped"] == []
    assert [row["peers"] for row in found["steps"]] == [
        "single network",
        "mcl-okd, 2 branches",
        "mcl-okd, 4 branches",
        "mcl-okd, 4 branches, shared",
    ]
    assert found["steps"][0]["over_single"] == 1
    assert [row["peers"] for row in found["lanes"]] == ["mcl-okd, 2 branches", "mcl-okd, 4 branches"]
    assert {row["method"] for row in found["agreement"]} == set(methods.names())
    for row in found["agreement"]:
        assert max(row["gradient_float32"], row["gradient_float64"]) < 1e-4
        assert row["loss_float64"] < 1e-5
    assert all(len(found[table]) for table in ("large", "kernels", "epochs"))
    assert shown.err.splitlines()[-1].startswith("epoch")


def test_the_program_for_gpus_skips_what_takes_too_long_and_survives_failures(benchmark, capsys):
    gpu = benchmark("gpu")

    def fails():
        raise ValueError("no such kernel")

    planned = [
        gpu.Measurement("steps", "first", 0, fails),
        gpu.Measurement("steps", "long", 61, fails),
        gpu.Measurement("steps", "short", 1, lambda: [{"ms": 1.0}]),
    ]
    report = {"steps": [], "skipped": [], "failed": []}
    gpu.measure(planned, 1.0, report, Namespace(json=None))
    assert report == {
        "steps": [{"ms": 1.0}],
        "skipped": ["steps: long"],
        "failed": ["steps: first: ValueError: no such kernel"],
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_program_for_gpus_needs_one(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as ended:
        benchmark("gpu").main()
    assert ended.value.code == 2
    assert "no GPU found" in capsys.readouterr().err


def test_the_growth_is_drawn(benchmark, tmp_path):
    points = [
        {"kind": kind, "axis": axis, "value": value, "seconds": value, "peak_bytes": 2**20 * value}
        for kind in ("own", "shared", "all", "queue")
        for axis in ("samples", "negatives", "peers", "batch")
        for value in (1, 10)
    ]
    benchmark("plot_growth").plot(points, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
