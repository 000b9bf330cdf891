from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from peerdistill.data import DataConfig, load_dataset
from peerdistill.errors import UserError
from support.tiny_cifar import pixel_rows, pretend_public

PUBLISHED_STATISTICS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}


@pytest.fixture(params=[("cifar10", CIFAR10), ("cifar100", CIFAR100)], ids=["cifar10", "cifar100"])
def tiny_cifar(request, monkeypatch):
    """Name, reader class and archive of a small CIFAR whose checksums torchvision takes for the public ones."""
    name, reader = request.param
    return name, reader, pretend_public(reader, monkeypatch)


def config(name: str, root: Path) -> DataConfig:
    return DataConfig(name, root=str(root), validation=0.5)


def test_archive_is_unpacked_and_read(tmp_path, tiny_cifar):
    name, reader, archive = tiny_cifar
    (tmp_path / reader.filename).write_bytes(archive)
    dataset = load_dataset(config(name, tmp_path), download=True)
    files = len(reader.train_list)
    assert (dataset.name, dataset.channels, dataset.image_size, dataset.crop) == (name, 3, 32, 1.0)
    assert (dataset.mean, dataset.std) == PUBLISHED_STATISTICS[name]
    assert dataset.class_names == tuple(f"class{number}" for number in range(10))
    assert (len(dataset.train), len(dataset.val), len(dataset.test)) == (10 * files, 10 * files, 20)
    expected = pixel_rows(20, seed=files).reshape(20, 3, 32, 32)
    assert np.array_equal(dataset.test.images.numpy(), expected)
    assert dataset.test.labels.tolist() == list(range(10)) * 2
    again = load_dataset(config(name, tmp_path))
    assert again.fingerprint == dataset.fingerprint


@pytest.mark.parametrize(("name", "reader"), [("cifar10", CIFAR10), ("cifar100", CIFAR100)])
def test_absent(tmp_path, name, reader):
    with pytest.raises(UserError) as error:
        load_dataset(config(name, tmp_path))
    assert str(error.value) == (
        f"'{tmp_path}' has no {name} (no folder '{reader.base_folder}'): choose another folder with --root, or add "
        "--download"
    )


def test_damaged(tmp_path, tiny_cifar):
    name, reader, archive = tiny_cifar
    (tmp_path / reader.filename).write_bytes(archive)
    load_dataset(config(name, tmp_path), download=True)
    folder = tmp_path / reader.base_folder
    (folder / reader.test_list[0][0]).write_bytes(b"something else")
    with pytest.raises(UserError) as error:
        load_dataset(config(name, tmp_path))
    assert str(error.value) == (f"{name} in '{folder}' is incomplete or damaged: remove this folder and add --download")


def test_download_that_fails(tmp_path, tiny_cifar, monkeypatch):
    name, reader, _ = tiny_cifar
    monkeypatch.setattr(reader, "url", (tmp_path / "nowhere.tar.gz").as_uri())
    with pytest.raises(UserError, match=f"cannot download {name} into '{tmp_path}': "):
        load_dataset(config(name, tmp_path), download=True)
