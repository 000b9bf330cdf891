"""Computations in lanes: in place without a graph, and ordered by their inputs while one is recorded.

What lanes compute on a GPU is compared with steps without graphs in training/test_gradient_graphs.py.
"""

from contextlib import contextmanager

import pytest
import torch

from peerdistill.lanes import Lanes


class Stream:
    """Keeps the order of what it does: computations, and events of other streams that it waits for."""

    def __init__(self, device=None):
        self.device = device
        self.done: set[str] = set()  # everything that happened before its next computation

    def record_event(self):
        return set(self.done)

    def wait_event(self, event):
        self.done |= event

    def wait_stream(self, other):
        self.done |= other.done


class Value(torch.Tensor):
    """Looks like a tensor on a GPU."""

    is_cuda = True  # pyright: ignore
    used_in: list[Stream]

    def record_stream(self, s):
        assert isinstance(s, Stream)
        self.used_in.append(s)


def value() -> Value:
    found = torch.ones(1).as_subclass(Value)
    found.used_in = []
    return found


def used_in(x: torch.Tensor) -> list[Stream]:
    assert isinstance(x, Value)
    return x.used_in


@pytest.fixture
def main(monkeypatch):
    """The current stream of a pretended GPU, which records a graph."""
    current = [Stream("cuda:0")]

    @contextmanager
    def stream(inner):
        current.append(inner)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: current[-1])
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    return current[0]


def step(name, seen):
    """Return a computation that notes what its stream had done before."""

    def compute(x):
        own = torch.cuda.current_stream()
        assert isinstance(own, Stream)
        seen[name] = set(own.done)
        own.done.add(name)
        return value()

    return compute


def test_without_a_graph_everything_is_computed_in_place():
    x = torch.ones(2)
    lanes = Lanes(x)
    doubled = lanes.run(0, lambda part: 2 * part, x)
    assert lanes.run(1, lambda part: part + 1, doubled).tolist() == [3, 3]
    lanes.join(doubled)


def test_lanes_wait_for_their_input_only(main):
    seen: dict[str, set[str]] = {}
    images = value()
    lanes = Lanes(images)
    stem = lanes.run(None, step("stem", seen), images)
    left = lanes.run(0, step("left", seen), stem)
    last_left = lanes.run(0, step("last left", seen), left)
    right = lanes.run(1, step("right", seen), stem)
    twig = lanes.run(2, step("twig", seen), left)  # another lane goes on from the middle of the first
    assert seen == {
        "stem": set(),
        "left": {"stem"},
        "last left": {"stem", "left"},
        "right": {"stem"},
        "twig": {"stem", "left"},
    }
    lanes.join(last_left, right, twig)
    assert main.done == {"stem", "left", "last left", "right", "twig"}


def test_memory_is_kept_for_all_lanes_that_use_it(main):
    images = value()
    lanes = Lanes(images)
    stem = lanes.run(None, step("stem", {}), images)
    left, right = (lanes.run(lane, step(str(lane), {}), stem) for lane in (0, 1))
    own = lanes.run(0, step("own", {}), left)
    lanes.join(own, right)
    assert len(used_in(stem)) == 2
    assert main not in used_in(stem)
    assert used_in(left) == []
    assert used_in(own) == used_in(right) == [main]


def test_one_stream_needs_no_joining(main):
    images = value()
    lanes = Lanes(images)
    last = lanes.run(None, step("all", {}), images)
    lanes.join(last)
    assert used_in(last) == used_in(images) == []
