"""Every benchmark shows its options, and prints what it measured as JSON."""

import json
import runpy
import sys
from pathlib import Path

import pytest

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


def test_the_growth_is_drawn(benchmark, tmp_path):
    points = [
        {"kind": kind, "axis": axis, "value": value, "seconds": value, "peak_bytes": 2**20 * value}
        for kind in ("own", "shared", "all", "queue")
        for axis in ("samples", "negatives", "peers", "batch")
        for value in (1, 10)
    ]
    benchmark("plot_growth").plot(points, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
