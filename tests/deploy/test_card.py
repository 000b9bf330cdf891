import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.deploy import LeaderCard
from peerdistill.errors import UserError

FILE = Path("some/leader.onnx")
METADATA = LeaderCard("resnet20", ("a", "b"), 8, 1, (0.31,), (0.37,), 1.0, interpolation="bicubic").to_metadata()
KEYS = sorted(METADATA)


FLOATS = {"width": 32, "allow_nan": False, "allow_infinity": False}


@st.composite
def values_of_a_card(draw: st.DrawFn) -> dict:
    channels = draw(st.sampled_from([1, 3]))
    return {
        "backbone": draw(st.text(min_size=1, max_size=200)),
        "class_names": tuple(
            draw(
                st.lists(st.text(st.characters(exclude_categories=[]), min_size=1), min_size=2, max_size=4, unique=True)
            )
        ),
        "image_size": draw(st.integers(1, 4096)),
        "channels": channels,
        "mean": tuple(draw(st.floats(**FLOATS)) for _ in range(channels)),
        "std": tuple(draw(st.floats(min_value=2**-140, **FLOATS)) for _ in range(channels)),
        "crop": draw(st.floats(min_value=0.01, max_value=1)),
        "temperature": draw(st.none() | st.floats(min_value=2**-140, **FLOATS)),
        "interpolation": draw(st.sampled_from(["bilinear", "bicubic"])),
    }


@settings(max_examples=50, deadline=None)
@given(values_of_a_card())
def test_a_card_is_read_from_metadata_as_it_was_written(values: dict):
    card = LeaderCard(**values)
    metadata = card.to_metadata()
    assert all(type(key) is str and type(value) is str for key, value in metadata.items())
    assert LeaderCard.from_metadata({"other": "tool", **metadata}, FILE) == card


def test_a_card_without_temperature_does_not_mention_it():
    assert not any("temperature" in key for key in METADATA)
    calibrated = dataclasses.replace(LeaderCard.from_metadata(METADATA, FILE), temperature=1.5)
    assert calibrated.to_metadata() == {**METADATA, "peerdistill.temperature": "1.5"}


@pytest.mark.parametrize("temperature", [0, -1.0, "warm", True, 1e-60, [1.0]])
def test_a_temperature_is_a_positive_number(temperature):
    with pytest.raises(UserError, match="temperature must be a positive number"):
        LeaderCard.from_metadata({**METADATA, "peerdistill.temperature": json.dumps(temperature)}, FILE)


def test_an_encoder_has_no_temperature():
    with pytest.raises(UserError, match="temperature applies to classifiers only"):
        LeaderCard("resnet20", (), 8, 1, (0.31,), (0.37,), 1.0, temperature=2.0)


JSON_TEXTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([0, -1, 1, 3, 8.5, 1e400, 10**9, 10**4000, "", "a", "\x1b[2J"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
).map(json.dumps)
BROKEN_TEXTS = st.text() | st.sampled_from(["[" * 100_000, "9" * 5000, "NaN", "-Infinity", "[1,", "\ud800", "1e999"])


def card_or_sentence(metadata: dict[str, str]) -> LeaderCard | str:
    try:
        return LeaderCard.from_metadata(metadata, FILE)
    except UserError as error:
        return str(error)


@settings(max_examples=150, deadline=None)
@given(changes=st.dictionaries(st.sampled_from(KEYS), st.none() | JSON_TEXTS | BROKEN_TEXTS, min_size=1, max_size=3))
def test_any_metadata_gives_a_valid_card_or_a_one_line_error(changes: dict):
    metadata = {key: value for key, value in {**METADATA, **changes}.items() if value is not None}
    card = card_or_sentence(metadata)
    if isinstance(card, str):
        assert card.startswith(("some/leader.onnx has a ", "some/leader.onnx was not exported"))
        assert "\n" not in card
        assert len(card) < 400
    else:
        assert LeaderCard.from_metadata(card.to_metadata(), FILE) == card
        picture = np.zeros((card.channels, 1, 1), np.float32)
        mean, std = (np.array(values, np.float32).reshape(-1, 1, 1) for values in (card.mean, card.std))
        assert not np.isnan((picture - mean) / std).any()
        assert 1 <= card.image_size / card.crop < 1e6
        assert all(isinstance(name, str) for name in card.class_names)


def test_a_hundred_thousand_classes_are_read_and_written_in_linear_time():
    names = tuple(f"class {number}" for number in range(100_000))
    start = time.perf_counter()
    card = LeaderCard("resnet20", names, 8, 1, (0.3,), (0.4,), 1.0)
    assert LeaderCard.from_metadata(card.to_metadata(), FILE).class_names == names
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_the_error_for_foreign_metadata_names_the_file(metadata):
    with pytest.raises(UserError, match=r"some/leader.onnx was not exported by peerdistill"):
        LeaderCard.from_metadata(metadata, FILE)


def test_card_of_another_version_is_refused(card: LeaderCard):
    with pytest.raises(UserError, match=r"some/leader.onnx .* version '2'; this peerdistill reads version '1'"):
        LeaderCard.from_metadata({**card.to_metadata(), "peerdistill.card": "2"}, FILE)


def test_bilinear_is_not_written_and_is_what_a_card_without_the_field_means():
    metadata = {key: text for key, text in METADATA.items() if key != "peerdistill.interpolation"}
    card = LeaderCard.from_metadata(metadata, FILE)
    assert card.interpolation == "bilinear"
    assert card.to_metadata() == metadata


@pytest.mark.parametrize(
    "field", [key.removeprefix("peerdistill.") for key in KEYS if key[-4:] not in ("card", "tput", "tion")]
)
def test_card_without_a_field_is_refused(field: str):
    metadata = {key: text for key, text in METADATA.items() if key != f"peerdistill.{field}"}
    with pytest.raises(
        UserError, match=f"some/leader.onnx has a damaged leader card: 'peerdistill.{field}' is missing"
    ):
        LeaderCard.from_metadata(metadata, FILE)


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("backbone", '""', "backbone must be a name of at most 1000 letters, found ''"),
        ("backbone", f'"{"n" * 1001}"', "backbone must be a name of at most 1000 letters, found 'n"),
        ("class_names", '["only"]', "at least 2 classes, found 1"),
        ("class_names", '["a", ""]', "texts that are not empty, found ''"),
        ("class_names", '["a", 1]', "texts that are not empty, found 1"),
        ("class_names", '["a", "b", "a"]', "must differ from each other, found 'a' twice"),
        ("class_names", '{"a": 1, "b": 2}', "must be a list of names"),
        ("class_names", '"ab"', "must be a list of names"),
        ("class_names", '["a", "b', "Unterminated"),
        ("class_names", "[" * 100_000, "recursion"),
        ("image_size", "0", "image_size must be a whole number from 1 to 4096, found 0"),
        ("image_size", "8.5", "found 8.5"),
        ("image_size", "1000000000", "found 1000000000"),
        ("image_size", "true", "found True"),
        ("image_size", "null", "found None"),
        ("image_size", "NaN", "NaN is not a number"),
        ("channels", "2", "channels must be 1"),
        ("channels", "1.0", "found 1.0"),
        ("std", "[0.3, 0.3]", "found 1 and 2"),
        ("std", "[0.0]", "std positive"),
        ("std", "[1e-60]", "std positive"),
        ("std", "0.3", "must be lists of numbers"),
        ("mean", "[1e999]", "mean must be finite"),
        ("mean", f"[1{'0' * 400}]", "mean must be finite"),
        ("mean", '["0.3"]', "mean must be finite"),
        ("crop", "1.5", "found 1.5"),
        ("crop", "0.0", "found 0.0"),
        ("crop", "1e-9", "found 1e-09"),
        ("interpolation", '"nearest"', "interpolation must be bilinear or bicubic, found 'nearest'"),
        ("interpolation", '["bicubic"]', "interpolation must be bilinear or bicubic"),
        ("interpolation", "null", "found None"),
    ],
)
def test_the_error_for_invalid_values_names_file_and_reason(field: str, text: str, message: str):
    with pytest.raises(UserError, match=f"^some/leader.onnx has a damaged leader card: .*{message}"):
        LeaderCard.from_metadata({**METADATA, f"peerdistill.{field}": text}, FILE)


def test_values_are_checked_when_a_card_is_built(card: LeaderCard):
    with pytest.raises(UserError, match=r"^crop must be a number from 0\.01 to 1, found 0\.0"):
        dataclasses.replace(card, crop=0.0)
    with pytest.raises(UserError, match="found a number with too many digits"):
        dataclasses.replace(card, image_size=10**5000)
