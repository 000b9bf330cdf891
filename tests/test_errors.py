import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peerdistill
from peerdistill.errors import UserError, printable, reading, unknown_name

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


def test_nothing_that_controls_a_terminal_is_printed():
    assert printable("a\x1b]0;x\x07\x9b2J\nb\u202ec\udcff\ttü") == r"a\x1b]0;x\x07\x9b2J\nb\u202ec\xff\ttü"


def test_a_sentence_stays_in_its_line():
    assert str(UserError("no file 'a\nb'")) == r"no file 'a\nb'"


@pytest.mark.parametrize("error", [ValueError("two\nlines"), RecursionError(), MemoryError(), KeyError("x"), OSError()])
def test_whatever_a_reader_raises_is_one_sentence(error):
    with pytest.raises(UserError, match=r"^cannot read 'x': .+$"), reading("cannot read 'x'"):
        raise error


def test_a_mistake_of_the_user_is_told_as_it_is():
    with pytest.raises(UserError, match=r"^mine$"), reading("cannot read 'x'"):
        raise UserError("mine")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("--epoch", "did you mean --epochs?"),
        ("--mixup", "x --help lists them"),
        ("--" + "f" * 10**6, "x --help lists them"),
    ],
)
def test_only_near_names_are_suggested(name, hint):
    error = unknown_name("option", name, ["--flip", "--epochs", "--lr"], listed_by="x --help")
    assert str(error).endswith(hint)
    assert len(str(error)) < 200
