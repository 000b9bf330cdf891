from dataclasses import dataclass, field
from typing import Annotated

import pytest

from peerdistill.errors import UserError
from peerdistill.ranges import Range, check_ranges, check_values, range_of, ranges_of


@dataclass(frozen=True)
class Inner:
    share: Annotated[float, Range(least=0, below=1)] = 0.5
    count: Annotated[int, Range(least=1, most=5)] | None = None


@dataclass(frozen=True)
class Outer:
    free: float = 0.0
    name: str = "x"
    yes: bool = True
    inner: Inner = field(default_factory=Inner)


def test_ranges_have_dotted_names():
    assert dict(ranges_of(Outer)) == {"inner.share": Range(least=0, below=1), "inner.count": Range(least=1, most=5)}
    assert range_of(int) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (Outer(free=float("nan")), "free must be finite, found nan"),
        (Outer(inner=Inner(share=1.0)), "inner.share must be at least 0 and below 1, found 1.0"),
        (Outer(inner=Inner(share=float("inf"))), "inner.share must be at least 0 and below 1, found inf"),
        (Outer(inner=Inner(count=6)), "inner.count must be at least 1 and at most 5, found 6"),
        (Outer(inner=Inner(count=10**5000)), "inner.count must be at least 1 and at most 5, found a number of"),
    ],
)
def test_the_error_names_the_first_option_out_of_range(values, message):
    with pytest.raises(UserError) as caught:
        check_ranges(values)
    assert str(caught.value).startswith(message)


def test_bounds_are_allowed():
    check_ranges(Outer(inner=Inner(share=0.0, count=5)))
    check_values({"x": 10**400, "y": True, "z": "word", "w": None}, {})
