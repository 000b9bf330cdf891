from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.data.arrays import LabelledImages
from peerdistill.errors import UserError
from peerdistill.fewshot.dataset import ClassSource, assemble, divide_classes


def test_splits_share_no_class_and_keep_every_image(digits, digit_source):
    assert digits.class_names == digits.train.class_names == tuple("01234")
    assert digits.val.class_names == tuple("56")
    assert digits.test.class_names == tuple("789")
    for split in (digits.train, digits.val, digits.test):
        assert split.labels.tolist() == sorted(split.labels.tolist())
        for label, name in enumerate(split.class_names):
            rows = digit_source.images.labels == int(name)
            expected = digit_source.images.images[rows].transpose(0, 3, 1, 2)
            assert np.array_equal(split.images[split.labels == label].numpy(), expected)


def test_all_splits_are_parts_of_one_tensor(digits):
    parts = (digits.train.images, digits.val.images, digits.test.images)
    assert len({part.untyped_storage().data_ptr() for part in parts}) == 1
    assert sum(part.numel() for part in parts) == digits.train.images.untyped_storage().nbytes()


def test_channels_have_the_statistics_of_the_training_images(digits):
    pixels = digits.train.images.double() / 255
    assert digits.mean[0] == pytest.approx(pixels.mean().item())
    assert digits.std[0] == pytest.approx(pixels.std(correction=0).item())


def test_each_quarter_turn_of_a_class_is_a_class(digit_source):
    turned = assemble("digits", digit_source, rotations=True)
    plain = assemble("digits", digit_source)
    for split, before in ((turned.train, plain.train), (turned.val, plain.val), (turned.test, plain.test)):
        classes = len(before.class_names)
        assert len(split.class_names) == 4 * classes
        assert split.class_names[classes:] == tuple(
            f"{name}/rot{degrees}" for degrees in ("090", "180", "270") for name in before.class_names
        )
        for label, name in enumerate(split.class_names):
            images = split.images[split.labels == label]
            expected = before.images[before.labels == label % classes]
            assert torch.equal(images, torch.rot90(expected, label // classes, dims=(2, 3))), name


def test_validation_classes_can_be_trained_on(digit_source):
    merged = assemble("digits", digit_source, trainval=True)
    assert merged.train.class_names == tuple("0123456")
    assert merged.val is None
    assert merged.test.class_names == tuple("789")


def test_the_fingerprint_is_that_of_classes_and_pixels(digit_source, digits):
    images = digit_source.images
    assert assemble("other", digit_source).fingerprint == digits.fingerprint
    dark = ClassSource(LabelledImages(images.images // 2, images.labels, images.class_names), digit_source.splits)
    known = ((0.0,), (1.0,))
    others = {
        assemble("digits", dark).fingerprint,
        assemble("digits", digit_source, trainval=True).fingerprint,
        assemble("digits", replace(digit_source, statistics=known)).fingerprint,
        assemble("digits", replace(dark, statistics=known)).fingerprint,
    }
    assert len(others | {digits.fingerprint}) == 5


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"splits": ("train",) * 9 + ("test",)}, "the test split of digits has only one class, '9'"),
        ({"splits": ("val",) * 8 + ("test",) * 2}, "digits has no training classes"),
    ],
)
def test_splits_that_make_no_episodes_are_refused(digit_source, changed, sentence):
    with pytest.raises(UserError, match=sentence):
        assemble("digits", replace(digit_source, **changed))


def test_a_class_without_images_is_named(digit_source):
    images = digit_source.images
    left = images.rows(np.flatnonzero(images.labels != 3))
    with pytest.raises(UserError, match="digits has no image of class '3': every class needs one"):
        assemble("digits", replace(digit_source, images=left))


@settings(max_examples=50, deadline=None)
@given(st.sets(st.text(min_size=1), min_size=4, max_size=120))
def test_classes_are_divided_by_their_names_alone(names):
    ordered = sorted(names)
    splits = dict(zip(ordered, divide_classes(ordered), strict=True))
    backwards = dict(zip(ordered[::-1], divide_classes(ordered[::-1]), strict=True))
    assert splits == backwards
    counts = {split: list(splits.values()).count(split) for split in ("train", "val", "test")}
    assert counts["test"] == max(2, round(0.2 * len(names)))
    assert counts["val"] in (0, round(0.16 * len(names)))
    assert counts["val"] != 1
    assert counts["train"] >= 2


def test_a_hundred_classes_are_divided_as_those_of_miniimagenet():
    splits = divide_classes([f"n{number:08}" for number in range(100)])
    assert [splits.count(split) for split in ("train", "val", "test")] == [64, 16, 20]


def test_three_classes_are_too_few():
    with pytest.raises(UserError, match="needs at least 4 classes, two for training and two for testing, found 3"):
        divide_classes("abc")
