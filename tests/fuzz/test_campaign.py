"""A short campaign; ``make fuzz`` runs the whole one."""

import runpy
from pathlib import Path

import pytest

CAMPAIGN = runpy.run_path(str(Path(__file__).with_name("campaign.py")))


def test_a_reader_that_keeps_its_inputs_is_noticed():
    kept = []
    CAMPAIGN["READERS"]["leak"] = CAMPAIGN["Reader"](lambda rng: None, lambda *_: kept.append(b"x" * 30_000))
    try:
        tally = CAMPAIGN["campaign"]("leak", inputs=2000, seed=0)
    finally:
        del CAMPAIGN["READERS"]["leak"]
    assert next(iter(tally.faults)).startswith("memory grows by ")
    assert tally.growth[0] == pytest.approx(30_000 / 1024, rel=0.2)


@pytest.mark.parametrize("name", CAMPAIGN["SHORT"])
def test_every_input_is_read_or_refused_in_one_sentence(name):
    tally = CAMPAIGN["campaign"](name, inputs=CAMPAIGN["SHORT"][name], seed=1)
    assert not tally.faults
    assert tally.read > 0
    assert tally.refused > 0
