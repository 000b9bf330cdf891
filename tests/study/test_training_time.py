import pytest

from peerdistill.study.training_time import training_time


@pytest.mark.parametrize(
    ("device", "expected"), [("cpu", 7.0), (None, 7.0), ("cuda:0", 5.0), ("cuda", 5.0), ("mps", 5.0), ("xpu:1", 5.0)]
)
def test_on_a_cpu_its_own_time_counts_and_elsewhere_the_elapsed_time(device, expected):
    assert training_time(5.0, 7.0, device) == expected


def test_a_time_that_was_not_measured_is_unknown():
    assert training_time(5.0, None, "cpu") is None
