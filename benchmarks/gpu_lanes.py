"""What is gained by running peers side by side in the graph of a step: the same step with all peers in one stream."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from torch import Tensor

from gpu_training import Peers

Timed = Callable[[Peers], dict[str, Any]]
"""Returns the milliseconds of a step."""


class OneStream:
    """Stands for ``peerdistill.lanes.Lanes``, and computes everything in the current stream."""

    def __init__(self, x: Tensor):
        del x

    def run(self, lane: Any, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return ``compute(x)``."""
        del lane
        return compute(x)

    def join(self, *values: Tensor) -> None:
        """Do nothing."""


@contextmanager
def one_stream() -> Iterator[None]:
    """Let the peers run one after the other."""
    with mock.patch("peerdistill.cohort.Lanes", OneStream):
        yield


def beside_one_stream(timed: Timed, single: Peers, several: tuple[Peers, ...]) -> list[dict[str, Any]]:
    """Return for each kind of peers the milliseconds of a step in one stream and side by side."""
    alone = timed(single)["ms"]
    rows = []
    for peers in several:
        with one_stream():
            before = timed(peers)["ms"]
        now = timed(peers)["ms"]
        times = {"one_stream_ms": before, "ms": now}
        ratios = {"one_stream_over_single": before / alone, "over_single": now / alone}
        rows.append({"peers": str(peers), "single_ms": alone, **times, **ratios})
    return rows
