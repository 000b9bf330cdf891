import time

import pytest

from peerdistill.study.timing import median_seconds, seconds


class Clock:
    """A clock that only the calls advance."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, ""
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def takes(self, name: str, *seconds: float):
        """Return a call that takes each of these times in turn, and then always the last one."""
        left = list(seconds)

        def call() -> None:
            self.now += left.pop(0) if len(left) > 1 else left[0]
            self.log += name

        return call


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def test_calls_take_turns_after_one_untimed_call_each(clock):
    found = median_seconds({"a": clock.takes("a", 9.0, 0.2), "b": clock.takes("b", 0.5)}, repeats=2)
    assert clock.log == "ab" + "ab" * 2
    assert found == pytest.approx({"a": 0.2, "b": 0.5})


def test_short_calls_are_timed_in_bursts(clock):
    found = median_seconds({"a": clock.takes("a", 0.02), "b": clock.takes("b", 0.5)}, repeats=2, burst_s=0.05)
    assert clock.log == "aa" + "bb" + "aaab" * 2
    assert found == pytest.approx({"a": 0.02, "b": 0.5})


def test_the_median_ignores_a_slow_start_and_one_slow_round(clock):
    found = median_seconds({"a": clock.takes("a", 9.0, 0.1, 0.1, 5.0, 0.1)}, repeats=3, burst_s=0.05)
    assert found == pytest.approx({"a": 0.1})


@pytest.mark.parametrize(("enough_s", "rounds"), [(0.0, 1), (2.5, 3), (100.0, 9)])
def test_long_calls_are_repeated_less_often(clock, enough_s, rounds):
    median_seconds({"a": clock.takes("a", 1.0)}, repeats=9, enough_s=enough_s)
    assert len(clock.log) == 1 + rounds


def test_seconds_of_several_calls_are_their_mean(clock):
    assert seconds(clock.takes("a", 1.0, 2.0, 6.0), times=3) == pytest.approx(3.0)
