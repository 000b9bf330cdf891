from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.training.batches import StepGroups


class Numbered:
    """Batches that are their own numbers."""

    def __init__(self, count: int):
        self.steps_per_epoch = count
        self.open = 0

    def epoch(self, epoch, start=0):
        self.open += 1
        try:
            for number in range(start, self.steps_per_epoch):
                yield SimpleNamespace(epoch=epoch, number=number)
        finally:
            self.open -= 1


@given(count=st.integers(1, 30), size=st.integers(1, 12), data=st.data())
def test_every_batch_is_in_one_step_and_only_the_last_step_may_be_smaller(count, size, data):
    groups = StepGroups(Numbered(count), size)
    found = list(groups.epoch(3))
    assert [batch.number for group in found for batch in group] == list(range(count))
    assert {batch.epoch for group in found for batch in group} == {3}
    assert [len(group) for group in found[:-1]] == [size] * (len(found) - 1)
    assert 1 <= len(found[-1]) <= size
    assert groups.steps_per_epoch == len(found)
    start = data.draw(st.integers(0, len(found)))
    assert list(groups.epoch(3, start)) == found[start:]


def test_loading_stops_when_an_epoch_is_not_finished():
    batches = Numbered(8)
    groups = StepGroups(batches, 2).epoch(0)
    next(groups)
    assert batches.open == 1
    groups.close()
    assert batches.open == 0


def test_a_step_is_not_begun_if_one_of_its_batches_cannot_be_loaded():
    class Failing(Numbered):
        def epoch(self, epoch, start=0):
            yield from list(super().epoch(epoch, start))[:3]
            raise OSError("unplugged")

    groups = StepGroups(Failing(8), 2).epoch(0)
    assert len(next(groups)) == 2
    with pytest.raises(OSError, match="unplugged"):
        next(groups)
