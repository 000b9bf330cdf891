"""How long calls take, side by side."""

import math
import statistics
import time
from collections.abc import Callable, Mapping

_BURST_S = 0.05


def latencies(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of one call of each.

    They are called in bursts of at least a twentieth of a second, in turns, so that a busy moment of the machine hits
    all of them. Before that each runs once untimed, and once to learn how many calls make a burst.

    Args:
        calls: What is timed, by name.
        repeats: Timed bursts of each.
    """
    bursts = {name: _calls_of_a_burst(call) for name, call in calls.items()}
    rounds = [{name: _seconds_a_call(call, bursts[name]) for name, call in calls.items()} for _ in range(repeats)]
    return {name: statistics.median(timed[name] for timed in rounds) for name in calls}


def _calls_of_a_burst(call: Callable[[], object]) -> int:
    call()
    return math.ceil(_BURST_S / _seconds_a_call(call, 1))


def _seconds_a_call(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times
