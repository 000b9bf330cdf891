import json

import pytest

from faults import record

FOUND = {
    "injected": 3,
    "exit_codes": {"143": 2, "-15": 1},
    "killed_while_writing": 1,
    "before_the_first_checkpoint": 0,
    "told": ["stopped"],
    "wrong": [],
    "campaigns": [{"seed": 0}],
}
LATER = {
    **FOUND,
    "injected": 2,
    "exit_codes": {"143": 2},
    "before_the_first_checkpoint": 1,
    "told": ["stopped", "again"],
    "wrong": [{"code": 1}],
    "campaigns": [{"seed": 1}],
}


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "results" / "record.json"
    record.write(file, "SIGKILL", FOUND, add=True)
    record.write(file, "SIGTERM", FOUND, add=True)
    return file


def test_a_later_campaign_is_added_to_the_one_before(file):
    record.write(file, "SIGTERM", LATER, add=True)
    assert json.loads(file.read_text())["faults"] == {
        "SIGKILL": FOUND,
        "SIGTERM": {
            "injected": 5,
            "exit_codes": {"143": 4, "-15": 1},
            "killed_while_writing": 2,
            "before_the_first_checkpoint": 1,
            "told": ["again", "stopped"],
            "wrong": [{"code": 1}],
            "campaigns": [{"seed": 0}, {"seed": 1}],
        },
    }


def test_a_campaign_replaces_the_one_before_if_it_is_not_added(file):
    record.write(file, "SIGTERM", LATER, add=False)
    assert json.loads(file.read_text())["faults"] == {"SIGKILL": FOUND, "SIGTERM": LATER}
