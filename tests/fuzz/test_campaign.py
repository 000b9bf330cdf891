"""A short campaign; ``make fuzz`` runs the whole one."""

import runpy
from pathlib import Path

import pytest

CAMPAIGN = runpy.run_path(str(Path(__file__).with_name("campaign.py")))


@pytest.mark.parametrize("name", CAMPAIGN["SHORT"])
def test_every_input_is_read_or_refused_in_one_sentence(name):
    tally = CAMPAIGN["campaign"](name, inputs=CAMPAIGN["SHORT"][name], seed=1)
    assert not tally.faults
    assert tally.read > 0
    assert tally.refused > 0
