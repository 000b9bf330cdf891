import os

import pytest

from peerdistill import processes


@pytest.fixture
def twelve_cores(monkeypatch):
    monkeypatch.setattr(processes, "usable_cores", lambda: 12)
    for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, 12),
        ({"LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "16"}, 3),  # torchrun on four machines
        ({"WORLD_SIZE": "4"}, 3),  # Lightning Fabric
        ({"LOCAL_WORLD_SIZE": "64"}, 1),
    ],
)
@pytest.mark.usefixtures("twelve_cores")
def test_processes_that_train_together_share_the_cores(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert processes.own_cores() == expected


@pytest.mark.own_process
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not bind processes to cores")
def test_only_the_cores_that_the_process_may_use_count():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert processes.usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
