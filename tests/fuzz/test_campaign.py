"""A short campaign; ``make fuzz`` runs the whole one."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("campaign.py")
CAMPAIGN = runpy.run_path(str(FILE))


KEEPS_ITS_INPUTS = """
import runpy, sys
campaign = runpy.run_path(sys.argv[1])
kept = []
campaign["READERS"]["leak"] = campaign["Reader"](lambda rng: None, lambda *_: kept.append(b"x" * 30_000))
tally = campaign["campaign"]("leak", inputs=2000, seed=0)
print(next(iter(tally.faults)), tally.growth[0], sep="; ")
"""


def test_a_reader_that_keeps_its_inputs_is_noticed():
    """In a process of its own: one that has run other tests has free memory that it takes first."""
    words = [sys.executable, "-c", KEEPS_ITS_INPUTS, str(FILE)]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    fault, _, growth = printed.rpartition("; ")
    assert fault.startswith("memory grows by ")
    assert float(growth) == pytest.approx(30_000 / 1024, rel=0.2)


@pytest.mark.parametrize("name", CAMPAIGN["SHORT"])
def test_every_input_is_read_or_refused_in_one_sentence(name):
    tally = CAMPAIGN["campaign"](name, inputs=CAMPAIGN["SHORT"][name], seed=1)
    assert not tally.faults
    assert tally.read > 0
    assert tally.refused > 0
