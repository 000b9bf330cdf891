import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.deploy import LeaderCard
from peerdistill.errors import UserError

FILE = Path("some/leader.onnx")


@st.composite
def values_of_a_card(draw: st.DrawFn) -> dict:
    channels = draw(st.sampled_from([1, 3]))
    return {
        "backbone": draw(st.text()),
        "class_names": tuple(draw(st.lists(st.text(), min_size=2, max_size=4))),
        "image_size": draw(st.integers(1, 600)),
        "channels": channels,
        "mean": tuple(draw(st.floats(allow_nan=False, allow_infinity=False)) for _ in range(channels)),
        "std": tuple(draw(st.floats(min_value=1e-300, allow_infinity=False)) for _ in range(channels)),
        "crop": draw(st.floats(min_value=0, max_value=1, exclude_min=True)),
    }


@settings(max_examples=50, deadline=None)
@given(values_of_a_card())
def test_card_survives_the_trip_through_metadata_exactly(values: dict):
    card = LeaderCard(**values)
    metadata = card.to_metadata()
    assert all(type(key) is str and type(value) is str for key, value in metadata.items())
    assert LeaderCard.from_metadata({"other": "tool", **metadata}, FILE) == card


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_foreign_metadata_is_refused_by_name_of_the_file(metadata):
    with pytest.raises(UserError, match=r"some/leader.onnx was not exported by peerdistill"):
        LeaderCard.from_metadata(metadata, FILE)


def test_card_of_another_version_is_refused(card: LeaderCard):
    with pytest.raises(UserError, match=r"some/leader.onnx .* version 2; this peerdistill reads 1"):
        LeaderCard.from_metadata({**card.to_metadata(), "peerdistill.card": "2"}, FILE)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"peerdistill.mean": None}, "'peerdistill.mean' is missing"),
        ({"peerdistill.class_names": '["a", "b'}, "damaged"),
        ({"peerdistill.image_size": "null"}, "damaged"),
        ({"peerdistill.channels": "2"}, "channels must be 1"),
    ],
)
def test_damaged_card_is_refused_with_its_reason(card: LeaderCard, damage: dict, told: str):
    metadata = {key: value for key, value in {**card.to_metadata(), **damage}.items() if value is not None}
    with pytest.raises(UserError, match=f"some/leader.onnx holds a damaged leader card: .*{told}|{told}"):
        LeaderCard.from_metadata(metadata, FILE)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"class_names": ("only",)}, "at least 2 classes, found 1"),
        ({"image_size": 0}, "image_size must be at least 1, found 0"),
        ({"channels": 4}, "found 4"),
        ({"std": (0.3, 0.3)}, "found 1 and 2"),
        ({"std": (0.0,)}, "std positive"),
        ({"mean": (float("nan"),)}, "mean must be finite"),
        ({"crop": 1.5}, "found 1.5"),
        ({"crop": 0.0}, "found 0.0"),
    ],
)
def test_values_that_describe_no_classifier_are_refused(card: LeaderCard, change: dict, told: str):
    with pytest.raises(UserError, match=told):
        dataclasses.replace(card, **change)
