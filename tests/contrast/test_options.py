from dataclasses import fields

import jaxtyping
import pytest

from peerdistill.contrast import ContrastOptions, TeacherContrastOptions
from peerdistill.errors import UserError


def test_defaults_are_the_papers():
    options = ContrastOptions()
    assert (options.negatives, options.count, options.objective) == ("own", 16384, "nce")
    assert (options.temperature, options.width, options.momentum) == (0.1, 128, 0.5)
    assert (options.normaliser, options.views, options.bank_dtype) == ("anchor", "full", "float32")
    assert options.replacement
    options.check()


def test_a_students_options_are_those_that_it_uses(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # or the checks of the tests refuse first
    options = {field.name: field.default for field in fields(TeacherContrastOptions())}
    all_options = {field.name: field.default for field in fields(ContrastOptions())}
    assert options == {
        **{name: default for name, default in all_options.items() if name not in ("normaliser", "views")},
        "temperature": 0.07,
    }
    with pytest.raises(UserError, match=r"unknown contrast\.negatives 'shard'"):
        TeacherContrastOptions(negatives="shard").check()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("count", 0),
        ("width", 0),
        ("temperature", 0.0),
        ("temperature", -0.1),
        ("temperature", 0.002),
        ("momentum", 1.0),
        ("momentum", -0.1),
    ],
)
def test_out_of_range(option, value):
    with pytest.raises(UserError, match=rf"contrast\.{option} must be .*, found {value}"):
        ContrastOptions(**{option: value}).check()


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [
        ("negatives", "shard", "did you mean shared"),
        ("negatives", 1024, "choose from own, shared, all, queue"),
        ("objective", "softmx", "did you mean softmax"),
        ("bank_dtype", "half", "choose from float32, bfloat16"),
        ("normaliser", "anchr", "did you mean anchor"),
        ("views", "ful", "did you mean full"),
    ],
)
def test_unknown_name(monkeypatch, option, value, allowed):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # or the checks of the tests refuse first
    with pytest.raises(UserError, match=rf"unknown contrast\.{option} '{value}': {allowed}"):
        ContrastOptions(**{option: value}).check()
