import numpy as np
import pytest


@pytest.fixture
def soak(benchmark):
    return benchmark("soak")


def samples(soak, slope: float, spread: float = 3.0) -> list:
    """Two hours of memory that grows by ``slope`` per hour, with a start, noise and a saw tooth."""
    hours = np.linspace(0, 2, 1000)
    draws = np.random.default_rng(0).normal(0, spread, len(hours))
    start = 300 * (1 - np.exp(-hours / 0.05))
    values = 200 + start + slope * hours + draws + 5 * (hours * 20 % 1)
    return [soak.Sample(hour, value, 40) for hour, value in zip(hours, values, strict=True)]


@pytest.mark.parametrize("slope", [-10.0, 0.0, 15.0, 60.0])
def test_the_interval_holds_the_slope(soak, slope):
    found = soak.growth(samples(soak, slope), "mebibytes")
    assert found.low < slope < found.high
    assert found.high - found.low < 10
    assert found.is_below_limit == (slope < 20)


def test_what_is_too_uncertain_does_not_count_as_flat(soak):
    assert not soak.growth(samples(soak, 0.0, spread=400.0), "mebibytes").is_below_limit


def test_a_constant_number_of_handles_is_flat(soak):
    found = soak.growth(samples(soak, 0.0), "handles")
    assert (found.slope, found.low, found.high) == (0, 0, 0)
    assert found.is_below_limit


def test_a_training_is_sampled_and_drawn(soak, tmp_path):
    found = soak.measure(0.05, 1, tmp_path)
    assert min(one.mebibytes for one in found) > 50
    assert min(one.handles for one in found) > 3
    grown = {name: soak.Growth(0.0, -1.0, 1.0, limit) for name, limit in soak.LIMITS.items()}
    soak.draw(found, grown, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
