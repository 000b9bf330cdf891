"""Every benchmark finds what it needs, and says where it was run."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = sorted(file.name for file in BENCHMARKS.glob("*.py") if "__main__" in file.read_text())


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_tells_its_options(program):
    run = subprocess.run([sys.executable, BENCHMARKS / program, "--help"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "--json FILE" in run.stdout
