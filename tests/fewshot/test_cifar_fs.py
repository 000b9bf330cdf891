import numpy as np
import pytest

from peerdistill.data.arrays import LabelledImages
from peerdistill.errors import UserError
from peerdistill.fewshot import FewShotData, cifar_fs, load_few_shot


def config(root) -> FewShotData:
    return FewShotData("cifar-fs", root=str(root))


def test_classes_are_those_of_the_split_of_bertinetto_et_al(shared_data):
    data = load_few_shot(config(shared_data))
    with np.load(shared_data / "cifar100_test.npz") as archive:
        names, splits = archive["class_names"], archive["cifar_fs_split"]
    for split, count in (("train", 64), ("val", 16), ("test", 20)):
        found = getattr(data, split)
        assert found.class_names == tuple(names[splits == split].tolist())
        assert len(found.class_names) == count
        # All 500 training images and 100 test images of each class.
        assert np.bincount(found.labels).tolist() == [600] * count
    assert (data.channels, data.image_size) == (3, 32)


def test_the_public_files_come_first(tmp_path, monkeypatch):
    names = ("apple", "beaver", "baby", "bear", "bee", "beetle", "bed")
    part = LabelledImages(np.zeros((7, 32, 32, 3), np.uint8), np.arange(7), names)
    asked = []

    def read(name, root, download):
        asked.append((name, root, download))
        return part, part

    monkeypatch.setattr(cifar_fs, "read_cifar", read)
    (tmp_path / "cifar-100-python").mkdir()
    (tmp_path / "cifar100_test.npz").write_text("not read")
    data = load_few_shot(config(tmp_path))
    assert data.train.class_names == ("apple", "bear", "bee")
    assert data.val.class_names == ("beaver", "beetle")
    assert data.test.class_names == ("baby", "bed")
    assert len(data.train) == 6
    load_few_shot(config(tmp_path), download=True)
    assert asked == [("cifar100", tmp_path, False), ("cifar100", tmp_path, True)]


def test_absent(tmp_path):
    with pytest.raises(UserError) as error:
        load_few_shot(config(tmp_path))
    assert str(error.value) == (
        f"'{tmp_path}' has no cifar-fs (no folder cifar-100-python, no files cifar100_*.npz): choose another folder "
        "with --root, or add --download"
    )
