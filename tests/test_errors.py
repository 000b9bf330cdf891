import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import peerdistill
from peerdistill.errors import UserError, printable, reading, unknown_name

NAMES = ("baseline", "densenet40_12", "mcl-okd", "resnet110", "vgg16")


def test_user_errors_are_value_errors():
    assert issubclass(UserError, ValueError)
    assert peerdistill.UserError is UserError


@settings(max_examples=30, deadline=None)
@given(name=st.sampled_from(NAMES), place=st.integers(0, 4))
def test_one_missing_letter_suggests_the_intended_name(name, place):
    typo = name[:place] + name[place + 1 :]
    message = str(unknown_name("thing", typo, NAMES))
    assert message.startswith(f"unknown thing '{typo}': did you mean {name}")


@pytest.mark.parametrize("name", ["", "zzz"])
def test_without_a_similar_name_the_allowed_ones_are_listed(name):
    error = unknown_name("thing", name, iter(["c", "a", "b"]))
    assert str(error) == f"unknown thing '{name}': choose from c, a, b"


def test_terminal_controls_are_escaped():
    assert printable("a\x1b]0;x\x07\x9b2J\nb\u202ec\udcff\ttü") == r"a\x1b]0;x\x07\x9b2J\nb\u202ec\xff\ttü"


def test_messages_have_one_line():
    assert str(UserError("no file 'a\nb'")) == r"no file 'a\nb'"


@pytest.mark.parametrize("error", [ValueError("two\nlines"), RecursionError(), MemoryError(), KeyError("x"), OSError()])
def test_reading_converts_every_exception(error):
    with pytest.raises(UserError, match=r"^cannot read 'x': .+$"), reading("cannot read 'x'"):
        raise error


def test_reading_does_not_change_user_errors():
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
def test_only_similar_names_are_suggested(name, hint):
    error = unknown_name("option", name, ["--flip", "--epochs", "--lr"], listed_by="x --help")
    assert str(error).endswith(hint)
    assert len(str(error)) < 200
