import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peerdistill
from peerdistill.errors import UserError, unknown_name

NAMES = ("baseline", "densenet40_12", "mcl-okd", "resnet110", "vgg16")


def test_a_users_mistake_is_a_value_error():
    assert issubclass(UserError, ValueError)
    assert peerdistill.UserError is UserError


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(NAMES), place=st.integers(0, 4))
def test_a_slip_of_the_keyboard_finds_the_name_meant(name, place):
    slip = name[:place] + name[place + 1 :]
    message = str(unknown_name("thing", slip, NAMES))
    assert message.startswith(f"unknown thing '{slip}': did you mean {name}")


@pytest.mark.parametrize("name", ["", "zzz"])
def test_nothing_near_lists_what_is_allowed(name):
    error = unknown_name("thing", name, iter(["c", "a", "b"]))
    assert str(error) == f"unknown thing '{name}': choose from c, a, b"
