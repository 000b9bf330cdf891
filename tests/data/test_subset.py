"""``subset`` keeps evenly spaced classes and training images."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from peerdistill.data import DataConfig, load_dataset
from peerdistill.data.config import SubsetConfig
from peerdistill.errors import UserError

CLASSES, PER_CLASS = 6, 10


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    """Images whose every pixel is their place in their class, interleaved by class; ten times the class for tests."""
    folder = tmp_path_factory.mktemp("arrays")
    labels = np.tile(np.arange(CLASSES), PER_CLASS)
    places = np.repeat(np.arange(PER_CLASS), CLASSES)
    names = np.array([f"class {label}" for label in range(CLASSES)])
    for name, values in (("train", places), ("test", 10 * labels)):
        images = np.broadcast_to(values[:, None, None, None], (len(values), 8, 8, 1)).astype(np.uint8)
        np.savez(folder / f"{name}.npz", images=images, labels=labels, class_names=names)
    return folder


def load(folder, **subset):
    config = DataConfig(
        f"npz:{folder}/train.npz", test=f"npz:{folder}/test.npz", validation=0.0, subset=SubsetConfig(**subset)
    )
    return load_dataset(config)


def test_evenly_spaced_classes_and_images(arrays):
    data = load(arrays, classes=3, per_class=5)
    assert data.class_names == ("class 0", "class 2", "class 4")
    for label in range(3):
        assert data.train.images[data.train.labels == label][:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]
        assert set(data.test.images[data.test.labels == label][:, 0, 0, 0].tolist()) == {20 * label}
    assert len(data.test) == 3 * PER_CLASS


def test_the_statistics_and_the_whole_data_stay(arrays):
    whole, part = load(arrays), load(arrays, classes=CLASSES, per_class=PER_CLASS)
    assert part.fingerprint == whole.fingerprint
    assert part.held_out == whole.held_out
    fewer = load(arrays, per_class=9)
    assert (fewer.mean, fewer.std) == (whole.mean, whole.std)
    assert len({whole.fingerprint, fewer.fingerprint, load(arrays, classes=5).fingerprint}) == 3


def test_picture_folders(tmp_path):
    for name in ("ant", "bee", "cow", "dog"):
        for number in range(8):
            file = tmp_path / name / f"{number}.png"
            file.parent.mkdir(exist_ok=True)
            Image.new("RGB", (16, 16), (number * 20, len(name), 0)).save(file)
    config = DataConfig(str(tmp_path), validation=0.0, cache="off", subset=SubsetConfig(classes=2, per_class=3))
    data, whole = load_dataset(config), load_dataset(DataConfig(str(tmp_path), validation=0.0, cache="off"))
    assert data.class_names == ("ant", "cow")
    of_class = {name: [file for file in whole.train.paths.inside if file.startswith(name)] for name in data.class_names}
    expected = [files[place * len(files) // 3] for files in of_class.values() for place in range(3)]
    assert list(data.train.paths.inside) == expected
    rows = [whole.train.paths.inside.index(file) for file in expected]
    assert (data.train.digests == whole.train.digests[rows]).all()
    assert {file.split("/")[0] for file in data.test.paths.inside} == {"ant", "cow"}


@pytest.mark.parametrize(
    ("subset", "sentence"),
    [
        ({"classes": 7}, "^subset.classes: train has only 6 classes, found 7$"),
        ({"per_class": 11}, "^subset.per_class: class 'class 0' has only 10 training images, found 11$"),
    ],
)
def test_more_than_there_is(arrays, subset, sentence):
    with pytest.raises(UserError, match=sentence):
        load(arrays, **subset)


def test_wrong_labels(arrays):
    right, wrong = load(arrays), load(arrays, wrong_labels=0.3)
    changed = right.train.labels != wrong.train.labels
    assert int(changed.sum()) == round(0.3 * CLASSES * PER_CLASS)
    assert set(wrong.train.labels.tolist()) == set(range(CLASSES))
    assert torch.equal(right.train.images, wrong.train.images)
    assert torch.equal(right.test.labels, wrong.test.labels)
    assert wrong.fingerprint != right.fingerprint
    assert torch.equal(wrong.train.labels, load(arrays, wrong_labels=0.3).train.labels)


def test_wrong_labels_are_any_other_class_equally_often(tmp_path):
    labels = np.zeros(3000, dtype=np.int64)
    labels[:4] = range(4)
    np.savez(
        tmp_path / "train.npz", images=np.zeros((3000, 8, 8, 1), np.uint8), labels=labels, class_names=list("abcd")
    )
    data = load_dataset(DataConfig(f"npz:{tmp_path}/train.npz", validation=0.0, subset=SubsetConfig(wrong_labels=0.9)))
    counts = torch.bincount(data.train.labels, minlength=4)[1:].numpy()
    assert stats.chisquare(counts).pvalue > 1e-4


def test_wrong_labels_leave_an_image_of_every_class(arrays):
    sentence = r"^subset.wrong_labels 0.9 leaves no training image with the label 'class \d'.*: set a smaller fraction"
    with pytest.raises(UserError, match=sentence):
        load(arrays, per_class=1, wrong_labels=0.9)


def test_all_labels_cannot_be_wrong(arrays):
    with pytest.raises(UserError, match="wrong_labels"):
        load(arrays, wrong_labels=1.0)
