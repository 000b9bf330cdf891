"""How long calls take. Importing this file does not import PyTorch."""

import math
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, TypeVar

from peerdistill.ranges import Range

REPEATS = Range(least=1, most=10_000)
"""Allowed number of timed rounds."""

Repeats = Annotated[int, REPEATS]

Name = TypeVar("Name", bound=Hashable)
"""What identifies a call: a text, or several."""


def seconds(call: Callable[[], object], times: int = 1) -> float:
    """Return the seconds of one call, as the mean of ``times`` calls."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def median_seconds(
    calls: Mapping[Name, Callable[[], object]], repeats: Repeats, *, burst_s: float = 0.0, enough_s: float = math.inf
) -> dict[Name, float]:
    """Return the median seconds of one call, for each of several calls.

    Each is called once untimed. Then they are timed in turns, so that other load on the machine affects all of them.

    Args:
        calls: The calls by name.
        repeats: Number of timed rounds.
        burst_s: Each timed round repeats a call for at least this many seconds. This is for calls that are too short
            to be timed alone.
        enough_s: Stop early after the first round at which the timed rounds took this many seconds.

    Example:
        >>> took = median_seconds({"sum": lambda: sum(range(10)), "sort": lambda: sorted(range(10))}, repeats=3)
        >>> list(took)
        ['sum', 'sort']
    """
    bursts = {name: _calls_of_a_burst(call, burst_s) for name, call in calls.items()}
    rounds: list[dict[Name, float]] = []
    spent = 0.0
    while len(rounds) < repeats and spent <= enough_s:
        rounds.append({name: seconds(call, bursts[name]) for name, call in calls.items()})
        spent += sum(rounds[-1].values())
    return {name: statistics.median(timed[name] for timed in rounds) for name in calls}


def _calls_of_a_burst(call: Callable[[], object], burst_s: float) -> int:
    call()
    return math.ceil(burst_s / seconds(call)) if burst_s else 1
