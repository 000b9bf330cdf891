"""Every benchmark finds what it needs, and says where it was run."""

import runpy
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = sorted(file.name for file in BENCHMARKS.glob("*.py") if "__main__" in file.read_text())


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_tells_its_options(program, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))  # where Python looks first when a file is run
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(BENCHMARKS / program), run_name="__main__")
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "--json FILE" in said.out
