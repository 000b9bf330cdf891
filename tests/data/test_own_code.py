"""Images from functions of the user's own code."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, TensorDataset

from peerdistill.data import DataConfig, fit, load_dataset
from peerdistill.data.load import load_images
from peerdistill.data.own_code import load_own
from peerdistill.errors import UserError
from peerdistill.fewshot import FewShotData, load_few_shot

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(40) % 4


@pytest.fixture
def returns(monkeypatch) -> Callable[..., str]:
    """Return a function that makes ``mine:images`` return a value, and returns its name."""
    module = ModuleType("mine")
    monkeypatch.setitem(sys.modules, "mine", module)

    def define(value: Any, name: str = "images") -> str:
        setattr(module, name, lambda: value)
        return f"mine:{name}"

    return define


class Pictures(TorchDataset):
    """PIL images of different sizes."""

    classes = ("ant", "bee")

    def __init__(self, count: int = 20):
        rng = np.random.default_rng(0)
        shapes = [(20 + number, 30, 3) for number in range(count)]
        self.pictures = [Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)) for shape in shapes]

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self.pictures[index], index % 2


class Samples(TorchDataset):
    def __init__(self, samples: list):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        return self.samples[index]


class Endless(IterableDataset):
    def __iter__(self):
        yield 0, 0


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_arrays_and_tensors_are_divided_as_those_of_a_file(returns, make_npz, make):
    names = ["ant", "bee", "cat", "dog"]
    found = load_dataset(DataConfig(returns((make(IMAGES), make(LABELS), names))))
    expected = load_dataset(DataConfig(f"npz:{make_npz(images=IMAGES, labels=LABELS)}"))
    assert (found.name, found.class_names) == ("images", tuple(names))
    assert (found.fingerprint, found.held_out) == (expected.fingerprint, expected.held_out)
    assert torch.equal(found.train.images, expected.train.images)


def test_classes_without_names_are_numbered(returns):
    assert load_own(returns((IMAGES[..., 0], LABELS.tolist())), 32).class_names == ("0", "1", "2", "3")


def test_a_test_function_replaces_the_held_out_test_split(returns):
    name, test = returns((IMAGES, LABELS)), returns((IMAGES[:10], LABELS[:10] % 2), "test_images")
    data = load_dataset(DataConfig(name, test=test, validation=0.0))
    assert (len(data.train), len(data.test)) == (40, 10)
    assert data.test.labels.tolist() == [0, 1] * 5


def test_a_test_function_must_return_the_same_kind_of_images(returns):
    name, test = returns((IMAGES, LABELS)), returns((IMAGES[:, :7, :7], LABELS), "test_images")
    with pytest.raises(UserError, match=r"^data mine:test_images has images of shape .* but data mine:images of shape"):
        load_dataset(DataConfig(name, test=test))


def test_pil_images_of_a_data_set_become_squares(returns):
    pictures = Pictures()
    found = load_own(returns(pictures), 16)
    assert found.class_names == ("ant", "bee")
    assert found.labels.tolist() == [0, 1] * 10
    for pixels, picture in zip(found.images, pictures.pictures, strict=True):
        assert np.array_equal(pixels, fit(picture, 16, 3, crop=1.0))


def test_arrays_of_a_data_set_keep_their_size(returns):
    found = load_own(returns(TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))), 16)
    assert np.array_equal(found.images, IMAGES)
    assert np.array_equal(found.labels, LABELS)


def test_few_shot_data_divides_the_classes(returns):
    labels = np.arange(40) % 8
    data = load_few_shot(FewShotData(returns((IMAGES, labels))))
    classes = [split.class_names for split in (data.train, data.val, data.test) if split is not None]
    assert sorted(sum(classes, ())) == [str(label) for label in range(8)]


def test_images_to_evaluate_a_network_of_other_data(returns):
    images, split = load_images(DataConfig(returns((IMAGES, LABELS, list("abcd")))), tuple("dcbae"))
    assert split == "all"
    assert images.labels.tolist() == [3, 2, 1, 0] * 10
    with pytest.raises(UserError, match="class 'a' of mine:images is not a class of the run"):
        load_images(DataConfig("mine:images"), tuple("bcd"))


RGB = Image.new("RGB", (9, 9))
FORMS = r"must be \(images, labels\), \(images, labels, class_names\) or a torch.utils.data.Dataset, found"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"images": IMAGES}, f"{FORMS} an object of type dict"),
        (None, f"{FORMS} None"),
        (IMAGES, rf"{FORMS} ndarray of type uint8 and shape \(40, 8, 8, 3\)"),
        ((IMAGES,), rf"{FORMS} a tuple of 1 \(ndarray\)"),
        ((IMAGES.tolist(), LABELS), "images must be a NumPy array or a PyTorch tensor, found a list of 40"),
        (
            (IMAGES / 1.0, LABELS),
            r"images of data mine:images must be uint8, or floats in 0..1, found float64 in 0..",
        ),
        ((IMAGES * np.nan, LABELS), r"must be uint8, or floats in 0..1, found float64 in nan..nan"),
        ((IMAGES.astype(int), LABELS), "images of data mine:images must be uint8 with pixels in 0..255, found int64"),
        ((IMAGES.transpose(1, 2, 3, 0), LABELS), r"must have shape .* found \(8, 8, 3, 40\)"),
        ((IMAGES, LABELS[1:]), "data mine:images has 40 images but 39 labels: one is needed for each image"),
        ((IMAGES, LABELS / 2), "labels of data mine:images must be 40 integers.* found float64"),
        ((IMAGES, LABELS - 1), "label -1 of sample 0 of data mine:images is outside 0..2"),
        ((IMAGES, LABELS * 0), "labels must be of at least two classes, found 1"),
        ((IMAGES, LABELS, ["ant", "bee"]), "label 2 of sample 2 of data mine:images is outside 0..1"),
        ((IMAGES, LABELS, "abcd"), "class_names must be a list of strings, found 'abcd'"),
        (Samples([]), "the Dataset is empty"),
        (Endless(), "the Dataset must have a length, found an object of type Endless"),
        (Samples([RGB]), r"a sample must be \(image, label\), found an object of type Image in sample 0"),
        (Samples([(RGB, 0), (RGB, 0.5)]), "a label must be an integer or a name, found 0.5 in sample 1"),
        (Samples([(RGB, 0), (RGB, "ant")]), "labels must be all integers or all names, found 'ant' in sample 1"),
        (Samples([(RGB.tobytes(), 0)]), "an image must be a PIL image, .* found an object of type bytes in sample 0"),
        (Samples([(torch.ones(3, 8, 8) * 2, 0)]), r"sample 0 of data mine:images must be uint8, or .* in 2..2: remove"),
        ((IMAGES, [*"ab"] * 20, ["a", "c"]), "label 'b' of sample 1 of data mine:images is not one of its class_names"),
        (
            Samples([(IMAGES[0], 0), (IMAGES[0][:7, :7], 1)]),
            r"same shape, found \(7, 7, 3\) in sample 1 and \(8, 8, 3\)",
        ),
    ],
)
def test_other_values_are_refused(returns, value, sentence):
    with pytest.raises(UserError, match=f"data mine:images.*{sentence}|{sentence}"):
        load_own(returns(value), 8)


def test_images_that_do_not_fit_into_memory_are_refused(returns, monkeypatch):
    monkeypatch.setattr("peerdistill.data.python_images.memory_bytes", lambda: 3000)
    with pytest.raises(UserError, match="20 images of 192 bytes do not fit into the 3,000 bytes of memory"):
        load_own(returns(Pictures()), 8)


def test_a_missing_function_is_named(returns):
    returns((IMAGES, LABELS))
    with pytest.raises(UserError, match="data mine:pictures: mine has no function 'pictures'"):
        load_own("mine:pictures", 8)


def test_a_function_with_arguments_is_refused(tmp_path, monkeypatch):
    (tmp_path / "asking.py").write_text("def images(folder): ...\n")
    monkeypatch.chdir(tmp_path)
    expected = (
        "^data asking:images is called without arguments, but it needs some: missing a required argument: 'folder'"
    )
    with pytest.raises(UserError, match=expected):
        load_own("asking:images", 8)
    with pytest.raises(UserError, match=r"there is no module asking.py in .*: write asking:images"):
        load_own("asking.py:images", 8)
