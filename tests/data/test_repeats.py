import warnings
from dataclasses import replace

import numpy as np

from peerdistill.data import DataConfig, load_dataset
from peerdistill.data.config import SubsetConfig
from peerdistill.errors import PeerdistillWarning
from support.photos import write_class_folders

CLASSES = ("ant", "bee")


def said(config: DataConfig) -> list[str]:
    """What loading warns of."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always", PeerdistillWarning)
        load_dataset(config)
    return [str(one.message) for one in raised]


def test_pictures_that_are_also_trained_on(tmp_path):
    for number, split in enumerate(("train", "val", "test")):
        write_class_folders(tmp_path, {f"{split}/{name}": 3 for name in CLASSES}, first=10 * number)
    config = DataConfig(str(tmp_path), image_size=8, cache="off")
    assert said(config) == []
    copy = tmp_path / "test" / "bee" / "copy.png"
    copy.write_bytes(next((tmp_path / "train" / "ant").iterdir()).read_bytes())
    rest = "accuracy on them says nothing about new images"
    assert said(config) == [f"1 of 7 test images is a training image too ('{copy}'): {rest}"]
    for picture in (tmp_path / "test").rglob("*.png"):
        picture.write_bytes(copy.read_bytes())
    (found,) = said(config)
    assert found.startswith("7 of 7 test images are training images too ('")
    assert ", ...): " in found
    assert found.count("'") == 6


def test_arrays_that_are_also_trained_on(tmp_path, make_npz):
    train = make_npz()
    images = np.load(train)["images"]
    test = make_npz("test.npz", images=np.concatenate([images[:3], 255 - images[3:]]))
    assert said(DataConfig(f"npz:{train}", validation=0.0)) == []
    assert said(DataConfig(f"npz:{train}", test=f"npz:{test}", validation=0.0)) == [
        "3 of 40 test images are training images too: accuracy on them says nothing about new images"
    ]
    (validation,) = [one for one in said(DataConfig(f"npz:{train},{train}", validation=0.5)) if "validation" in one]
    assert " validation images are training images too: " in validation


def test_only_the_images_of_a_subset_count(tmp_path, make_npz):
    train = make_npz()
    with np.load(train) as arrays:
        images, labels = arrays["images"], arrays["labels"]
    test = make_npz("test.npz", images=np.where((labels == 0)[:, None, None, None], images, 255 - images))
    config = DataConfig(f"npz:{train}", test=f"npz:{test}", validation=0.0)
    count = int((labels == 0).sum())
    kept = SubsetConfig(classes=2)
    (found,) = said(replace(config, subset=kept))
    data = load_dataset(replace(config, subset=kept))
    assert found.startswith(f"{count} of {len(data.test)} test images are training images too: ")
    assert len(data.test) < len(images)
    spared = SubsetConfig(per_class=1)
    assert [int(one.split()[0]) for one in said(replace(config, subset=spared))] == [1]
