import time

import pytest

from peerdistill.study.latency import latencies


class Clock:
    """Time that passes only by calls."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, ""
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def takes(self, name: str, *seconds: float):
        """Return a call that takes each of these times in turn, and then the last one for ever."""
        left = list(seconds)

        def call() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]
            self.log += name

        return call


def test_bursts_are_made_in_turns_after_a_warm_up(monkeypatch):
    clock = Clock(monkeypatch)
    found = latencies({"a": clock.takes("a", 0.02), "b": clock.takes("b", 0.5)}, repeats=2)
    assert clock.log == "aa" + "bb" + "aaab" * 2
    assert found == pytest.approx({"a": 0.02, "b": 0.5})


def test_a_slow_start_and_a_busy_moment_do_not_count(monkeypatch):
    clock = Clock(monkeypatch)
    found = latencies({"a": clock.takes("a", 9.0, 0.1, 0.1, 5.0, 0.1)}, repeats=3)
    assert found == pytest.approx({"a": 0.1})
