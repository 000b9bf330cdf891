from importlib.machinery import ModuleSpec

import numpy as np
import torch
from sklearn.datasets import load_digits as sklearn_digits

from peerdistill.data import DataConfig, digits, load_dataset


def test_digits_of_a_scikit_learn_with_the_file_elsewhere(monkeypatch):
    expected = load_dataset(DataConfig("digits"))
    monkeypatch.setattr(digits, "find_spec", lambda name: ModuleSpec(name, None))
    found = load_dataset(DataConfig("digits"))
    assert found.fingerprint == expected.fingerprint
    assert torch.equal(found.train.images, expected.train.images)


def test_digits():
    dataset = load_dataset(DataConfig("digits", validation=0.1))
    assert (dataset.name, dataset.channels, dataset.image_size, dataset.crop) == ("digits", 1, 8, 1.0)
    assert dataset.class_names == tuple("0123456789")
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (1295, 143, 359)
    # All of scikit-learn's images, each once, brightest ink at 255.
    splits = (dataset.train, dataset.val, dataset.test)
    images = torch.cat([split.images for split in splits]).flatten(1)
    ours = torch.cat([images, torch.cat([split.labels for split in splits])[:, None]], dim=1).numpy()
    pixels, labels = sklearn_digits(return_X_y=True)
    theirs = np.concatenate([(pixels * 255 / 16).round(), labels[:, None]], axis=1)
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_digits_split_is_fixed():
    # Written down once: a change here makes every earlier result incomparable.
    dataset = load_dataset(DataConfig("digits"))
    assert dataset.fingerprint == "fbc8789406f96b9d"
    assert dataset.test.labels[:10].tolist() == [4, 5, 6, 9, 4, 7, 8, 9, 9, 6]
