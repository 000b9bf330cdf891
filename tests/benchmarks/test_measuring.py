import pytest


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [({"least": 2}, True), ({"least": 4}, False), ({"most": 2}, False), ({"most": 3.0}, True)],
)
def test_a_target_is_a_least_or_a_most_value(benchmark, bounds, expected):
    assert benchmark("measuring").target(3.0, **bounds)["reached"] is expected
