"""Data sets of ``datasets`` as the library itself shows them, and a sentence for each that can't be used."""

import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from peerdistill.data import DataConfig, load_dataset
from peerdistill.data.images.digests import digest_of
from peerdistill.data.load import load_images
from peerdistill.errors import PeerdistillWarning, UserError
from support.containers import CLASSES, encoded, write_parquet


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """The library, with a cache of its own."""
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return library


def config(folder: Path, **options) -> DataConfig:
    given = {"image_size": 8, "cache": "off", "validation": 0.0} | options
    return DataConfig(f"hf:{folder}", **given)


def write_table(datasets, folder: Path, columns: dict[str, list], name: str = "train", **features) -> Path:
    kinds = datasets.Features(features) if features else None
    (folder / "data").mkdir(parents=True, exist_ok=True)
    table = datasets.Dataset.from_dict(columns, features=kinds)
    table.to_parquet(folder / "data" / f"{name}.parquet")
    return folder


def sentence(folder: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        load_dataset(config(folder, **options))
    return str(error.value)


def test_rows_are_those_of_the_library(datasets, tmp_path):
    folder = write_parquet(tmp_path / "a", {"train": 13, "validation": 5})
    data = load_dataset(config(folder))
    assert (data.name, data.class_names, data.test) == ("a", CLASSES, None)
    opened = datasets.load_dataset(str(folder)).cast_column("image", datasets.Image(decode=False))
    for split, name in ((data.train, "train"), (data.val, "validation")):
        expected = list(opened[name])
        assert split.labels.tolist() == [row["label"] for row in expected]
        assert [row.tobytes() for row in split.digests] == [digest_of(row["image"]["bytes"]) for row in expected]
    assert data.train.paths[3] == f"hf:{folder}/train/3"
    assert load_dataset(config(folder, cache=str(tmp_path / "kept"))).fingerprint == data.fingerprint
    assert load_dataset(config(folder, cache=str(tmp_path / "kept"))).fingerprint == data.fingerprint


def test_a_single_split_is_divided(datasets, tmp_path):
    data = load_dataset(config(write_parquet(tmp_path / "a", {"train": 60}), validation=0.2))
    assert len(data.train) + len(data.val) + len(data.test) == 60
    assert min(len(data.train), len(data.val), len(data.test)) > 2


def test_a_split_without_classes_is_not_used(datasets, tmp_path):
    """As the test split of ImageNet on the hub."""
    folder = write_parquet(tmp_path / "a", {"train": 12})
    label = datasets.ClassLabel(names=list(CLASSES))
    hidden = {"image": [{"bytes": encoded(0), "path": None}] * 3, "label": [-1] * 3}
    write_table(datasets, folder, hidden, "test-00000-of-00001", image=datasets.Image(), label=label)
    with pytest.warns(PeerdistillWarning, match="split test of .* has no classes: it is not used"):
        data = load_dataset(config(folder))
    assert (len(data.train), data.val, data.test) == (12, None, None)


@pytest.mark.parametrize(("labels", "names"), [([11, 2, 2, 11], ("2", "11")), (["b", "a", "a", "b"], ("a", "b"))])
def test_plain_parquet_files(tmp_path, datasets, labels, names):
    """Without the library's metadata: pictures as bytes, classes as numbers or names."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a").mkdir()
    table = pa.table({"picture": [encoded(number) for number in range(4)], "label": labels})
    pq.write_table(table, tmp_path / "a" / "train.parquet")
    data = load_dataset(config(tmp_path / "a", validation=0.0))
    every = {digest_of(encoded(number)): names.index(str(label)) for number, label in enumerate(labels)}
    assert data.class_names == names
    for split in filter(None, (data.train, data.test)):
        rows = zip(split.digests, split.labels.tolist(), strict=True)
        assert all(every[digest.tobytes()] == label for digest, label in rows)


def test_pictures_in_files_of_their_own(datasets, tmp_path):
    """As ``datasets`` reads a folder of pictures."""
    for number in range(20):
        file = tmp_path / "a" / "train" / CLASSES[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(number))
    data = load_dataset(config(tmp_path / "a"))
    found = {row.tobytes() for split in (data.train, data.test) for row in split.digests}
    assert found == {digest_of(encoded(number)) for number in range(20)}


def test_images_for_a_network_trained_on_others(datasets, tmp_path):
    folder = write_parquet(tmp_path / "a", {"train": 6, "test": 3})
    images, name = load_images(config(folder), ("bee", "ant", "cat", "dog"))
    assert (name, images.labels.tolist()) == ("test", [1, 0, 2])
    with pytest.raises(UserError, match=r"has no val split: it has train and test"):
        load_images(config(folder), CLASSES, "val")


def test_the_column_of_the_classes(datasets, tmp_path):
    label = datasets.ClassLabel(names=["a", "b"])
    columns = {
        "image": [{"bytes": encoded(n), "path": None} for n in range(12)],
        "fine": [0, 1] * 6,
        "coarse": [1, 0] * 6,
    }
    kinds = {"image": datasets.Image(), "fine": label, "coarse": label}
    folder = write_table(datasets, tmp_path / "a", columns, **kinds)
    assert sentence(folder) == f"label_column must say which column of 'hf:{folder}' has the classes: fine, coarse"
    fine, coarse = (load_dataset(config(folder, label_column=name)).train.labels for name in ("fine", "coarse"))
    assert fine.tolist() == (1 - coarse).tolist()
    assert sentence(folder, label_column="fin") == (
        f"'hf:{folder}' has no column 'fin' (label_column): it has image, fine, coarse"
    )


def test_mistakes(datasets, tmp_path):
    label, image = datasets.ClassLabel(names=["a", "b"]), datasets.Image()
    pictures = [{"bytes": encoded(n), "path": None} for n in range(4)]
    folder = write_table(datasets, tmp_path / "a", {"text": ["x"] * 4, "label": [0, 1] * 2})
    assert sentence(folder) == f"'hf:{folder}' must have one column of pictures, found 0 among text, label"
    folder = write_table(
        datasets, tmp_path / "b", {"image": pictures, "label": [0, 1, -1, 0]}, image=image, label=label
    )
    assert sentence(folder) == f"row 2 of 'hf:{folder}' has no class in column 'label'"
    folder = write_table(datasets, tmp_path / "c", {"image": pictures, "label": [0.5] * 4})
    assert sentence(folder).startswith(f"column 'label' of 'hf:{folder}' must be class labels, integers or strings")
    gap = [*pictures[:3], None]
    folder = write_table(datasets, tmp_path / "d", {"image": gap, "label": [0, 1] * 2}, image=image, label=label)
    assert "the row has none" in sentence(folder)
    (tmp_path / "empty").mkdir()
    assert sentence(tmp_path / "empty").startswith(f"cannot load 'hf:{tmp_path / 'empty'}' with datasets: ")


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert sentence(tmp_path) == f"data 'hf:{tmp_path}' needs the package datasets: pip install 'peerdistill[datasets]'"


def test_a_name_that_is_not_in_the_cache(datasets, monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *host, **_: asked.append(host))
    expected = r"^cannot load 'hf:no/such' with datasets \(--download downloads it\): "
    with pytest.raises(UserError, match=expected):
        load_dataset(DataConfig("hf:no/such"))
    assert not asked, "without --download nothing uses the network"
    assert not datasets.config.HF_HUB_OFFLINE


def test_a_folder_is_the_same_from_everywhere(tmp_path, monkeypatch):
    (tmp_path / "pictures").mkdir()
    monkeypatch.chdir(tmp_path)
    sources = DataConfig.sources
    assert sources.absolute("hf:pictures") == f"hf:{tmp_path}/pictures"
    assert sources.absolute("hf:user/name") == "hf:user/name"
    assert sources.missing_path("hf:/no/such") == Path("/no/such")
    assert sources.missing_path("hf:user/name") is None
    assert sources.title("hf:user/name") == "name"
    assert np.isclose(DataConfig("hf:user/name").resolved().crop, 0.875)
