import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.data import DataConfig, load_dataset
from peerdistill.data.arrays import LabelledImages, array_dataset


def numbered(counts: list[int]) -> LabelledImages:
    """``counts`` images of each class; every image shows its own number."""
    labels = np.repeat(np.arange(len(counts)), counts)
    numbers = np.arange(len(labels), dtype=np.uint8)
    images = np.broadcast_to(numbers[:, None, None, None], (len(labels), 8, 8, 1)).copy()
    return LabelledImages(images, labels, tuple("abcdefgh"[: len(counts)]))


def numbers(split) -> list[int]:
    return [] if split is None else split.images[:, 0, 0, 0].tolist()


def test_global_random_states_play_no_part():
    np.random.seed(1)
    torch.manual_seed(1)
    first = load_dataset(DataConfig("digits"))
    np.random.seed(2)
    torch.manual_seed(2)
    second = load_dataset(DataConfig("digits"))
    assert torch.equal(first.val.images, second.val.images)
    assert torch.equal(first.test.images, second.test.images)


@given(
    counts=st.lists(st.integers(1, 30), min_size=2, max_size=8),
    validation=st.sampled_from([0.0, 0.1, 0.34, 0.99]),
)
@settings(max_examples=40, deadline=None)
def test_splits_are_stratified_and_complete(counts, validation):
    source = numbered(counts)
    dataset = array_dataset("numbers", source, None, validation)
    splits = [numbers(split) for split in (dataset.train, dataset.val, dataset.test)]
    assert sorted(number for split in splits for number in split) == list(range(sum(counts)))
    for label, count in enumerate(counts):
        train, val, test = (sum(source.labels[number] == label for number in split) for split in splits)
        assert test == min(round(0.2 * count), count - 1)
        assert val == min(round(validation * (count - test)), count - test - 1)
        assert train >= 1


def test_labels_stay_with_their_images():
    source = numbered([5, 9, 7])
    dataset = array_dataset("numbers", source, None, 0.3)
    for split in (dataset.train, dataset.val, dataset.test):
        assert split.labels.tolist() == source.labels[numbers(split)].tolist()


def test_given_test_images_stay_whole_and_validation_comes_from_training():
    test = numbered([3, 3])
    with_val = array_dataset("numbers", numbered([10, 10]), test, 0.2)
    assert numbers(with_val.test) == list(range(6))
    assert sorted(numbers(with_val.train) + numbers(with_val.val)) == list(range(20))
    without_val = array_dataset("numbers", numbered([10, 10]), test, 0.0)
    assert without_val.val is None
    assert numbers(without_val.train) == list(range(20))


def test_validation_leaves_the_test_split_alone():
    tests = [array_dataset("n", numbered([20, 20]), None, validation).test for validation in (0.0, 0.1, 0.5)]
    assert numbers(tests[0]) == numbers(tests[1]) == numbers(tests[2])


def test_statistics_are_those_of_the_training_images():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    images[..., 1] //= 2
    source = LabelledImages(images, np.arange(50) % 5, tuple("abcde"))
    dataset = array_dataset("noise", source, None, 0.2)
    pixels = dataset.train.images.double() / 255
    assert dataset.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), rel=1e-12)
    assert dataset.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist(), rel=1e-12)


def test_channel_without_contrast_is_only_centred():
    source = LabelledImages(np.full((10, 8, 8, 1), 51, np.uint8), np.arange(10) % 2, ("a", "b"))
    dataset = array_dataset("flat", source, None, 0.0)
    assert (dataset.mean, dataset.std) == ((0.2,), (1.0,))


def test_channels_move_to_the_front():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    source = LabelledImages(images, np.array([0, 0, 1, 1], dtype=np.uint8), ("a", "b"))
    train = array_dataset("noise", source, source, 0.0).train
    assert np.array_equal(train.images.numpy(), np.moveaxis(images, -1, 1))
    assert train.images.is_contiguous()
    assert train.labels.dtype == torch.int64
