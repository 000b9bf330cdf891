import jaxtyping
import pytest

from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError


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
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # disables the shape checks of the tests
    with pytest.raises(UserError, match=rf"unknown contrast\.{option} '{value}': {allowed}"):
        ContrastOptions(**{option: value}).check()
