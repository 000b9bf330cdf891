from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.config.typed import (
    build_group,
    checked,
    dotted,
    flattened,
    nested,
    option_types,
    type_name,
    typed,
)
from peerdistill.errors import UserError
from peerdistill.ranges import Range


@dataclass(frozen=True)
class Inner:
    rate: Annotated[float, Range(least=0, most=1)] = 0.5
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Outer:
    count: int = 1
    inner: Inner = field(default_factory=Inner)
    table: dict[str, int] = field(default_factory=dict)


OUTER = option_types(Outer)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, False, False),
        (str, "3", "3"),
        (str | None, None, None),
        (Annotated[int, Range(least=2)], 1, 1),
        (Literal["a", 2], 2, 2),
        (str | list[int], [1, 2], [1, 2]),
        (list[float], (1, 2), [1.0, 2.0]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (Inner | None, {"rate": 1}, Inner(rate=1.0)),
        (Inner, Inner(0.25), Inner(0.25)),
        (Any, object, object),
    ],
)
def test_a_value_of_the_type_is_returned(annotation, value, expected):
    found = typed(value, annotation, "option")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "value", "allowed"),
    [
        (int, 3.0, "an integer"),
        (int, True, "an integer"),
        (float, "1", "a number"),
        (float, 10**400, "a number"),
        (bool, 1, "true or false"),
        (str, None, "a string"),
        (int | None, "x", "an integer or null"),
        (Literal["a", 2], "2", "a or 2"),
        (list[int], [1, "x"], "a list in square brackets"),
        (dict[str, int], {"a": "x"}, "a mapping"),
        (Inner | None, 3, "options as 'name: value' or null"),
    ],
)
def test_a_value_of_another_type_is_refused(annotation, value, allowed):
    assert type_name(annotation) == allowed
    with pytest.raises(UserError, match=f"option must be {allowed}, found "):
        typed(value, annotation, "option")


def test_groups_are_flattened_and_mappings_kept():
    given = {"count": 2, "inner": {"rate": 0.1}, "table": {"a": 1}}
    flat = flattened(given, OUTER)
    assert flat == {"count": 2, "inner.rate": 0.1, "table": {"a": 1}}
    assert flattened(flat, OUTER) == flat
    assert build_group(Outer, flat) == Outer(2, Inner(0.1), {"a": 1})


@pytest.mark.parametrize("value", [3, None, "x", [1]])
def test_a_group_needs_a_mapping(value):
    with pytest.raises(UserError, match="inner here must hold options as 'name: value'"):
        flattened({"inner": value}, OUTER, " here")


def test_names_and_ranges_are_checked():
    with pytest.raises(UserError, match=r"unknown option here 'inner\.rat': did you mean inner\.rate"):
        checked({"inner.rat": 1}, OUTER, " here")
    with pytest.raises(UserError, match=r"inner\.rate here must be at least 0 and at most 1, found 2"):
        checked({"inner.rate": 2}, OUTER, " here")


words = st.sampled_from(["a", "b", "rate"])
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(words, inner, min_size=1), max_leaves=8)


@given(st.dictionaries(words, trees))
def test_nested_undoes_dotted(values):
    assert nested(dotted(values)) == values
