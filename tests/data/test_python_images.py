"""Labelled images from Python objects; what is refused is tested in test_own_code.py."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import TensorDataset
from torchvision.transforms import ToTensor

from peerdistill.data.python_images import labelled_images, rgb_square

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
NAMES = ["bee", "ant", "wasp"] * 4
LABELS = np.array([1, 0, 2] * 4)


def read(value, **names):
    return labelled_images("data", value, rgb_square(8), **names)


def test_floats_of_torchvision_are_the_bytes_of_the_pictures():
    floats = torch.stack([ToTensor()(Image.fromarray(pixels)) for pixels in IMAGES])
    for images in (floats, floats.double(), floats.numpy()):
        assert np.array_equal(read((images, LABELS)).images, IMAGES)
    of_items = read(TensorDataset(floats, torch.from_numpy(LABELS)))
    assert np.array_equal(of_items.images, IMAGES)
    assert of_items.labels.tolist() == LABELS.tolist()


@given(channels=st.sampled_from([1, 3]), side=st.integers(4, 9), count=st.integers(3, 5), is_first=st.booleans())
def test_channels_are_found_first_or_last(channels, side, count, is_first):
    pixels = np.random.default_rng(side).integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    shown = np.moveaxis(pixels, -1, 1) if is_first else pixels
    labels = np.arange(count)
    assert np.array_equal(read((shown, labels)).images, pixels)
    assert np.array_equal(read(TensorDataset(torch.from_numpy(shown.copy()), torch.from_numpy(labels))).images, pixels)


def test_images_without_channels_are_grey():
    assert read((IMAGES[..., 0], LABELS)).images.shape == (12, 8, 8, 1)
    assert read(TensorDataset(torch.from_numpy(IMAGES[..., 0].copy()), torch.from_numpy(LABELS))).images.shape[3] == 1


@pytest.mark.parametrize("labels", [NAMES, tuple(NAMES), np.array(NAMES), np.array(NAMES, dtype=object)])
def test_labels_that_are_names_are_sorted_classes(labels):
    found = read((IMAGES, labels))
    assert (found.class_names, found.labels.tolist()) == (("ant", "bee", "wasp"), LABELS.tolist())


class Named(torch.utils.data.Dataset):
    """A data set with labels that are names."""

    classes = ("wasp", "bee", "ant", "fly")

    def __len__(self) -> int:
        return len(NAMES)

    def __getitem__(self, index: int) -> tuple[Image.Image, str]:
        return Image.fromarray(IMAGES[index]), NAMES[index]


def test_the_order_of_given_class_names_is_kept():
    found = read(Named())
    assert (found.class_names, found.labels.tolist()) == (Named.classes, [1, 2, 0] * 4)
    chosen = read(Named(), class_names=["ant", "bee", "wasp"])
    assert (chosen.class_names, chosen.labels.tolist()) == (("ant", "bee", "wasp"), LABELS.tolist())
    assert read((IMAGES, LABELS), class_names=("x", "y", "z")).class_names == ("x", "y", "z")
    assert read((IMAGES, LABELS, ["x", "y", "z"]), default_names=("u", "v", "w")).class_names == ("x", "y", "z")
    assert read((IMAGES, LABELS), default_names=("u", "v", "w")).class_names == ("u", "v", "w")
