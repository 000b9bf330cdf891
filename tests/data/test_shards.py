"""Shards are read as WebDataset itself reads them, and every mistake in them is one sentence."""

import io
import tarfile
from pathlib import Path

import pytest

from peerdistill.data import DataConfig, load_dataset
from peerdistill.data.images.digests import digest_of
from peerdistill.data.load import load_images
from peerdistill.data.shards import PicturesInShards, Sample, read_shard
from peerdistill.errors import PeerdistillWarning, UserError
from support.containers import CLASSES, encoded, write_shards

Files = list[tuple[str, bytes]]


def write_tar(path: Path, files: Files, mode: str = "w", kind: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=kind) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def pairs(labels, start: int = 0) -> Files:
    """Samples of pictures and classes."""
    files: Files = []
    for number, label in enumerate(labels, start):
        files += [(f"{number}.png", encoded(number)), (f"{number}.cls", str(label).encode())]
    return files


def config(*places: Path, **options) -> DataConfig:
    return DataConfig(
        f"wds:{','.join(map(str, places))}", **{"image_size": 8, "cache": "off", "validation": 0.0, **options}
    )


def test_samples_are_those_of_webdataset(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    folder = write_shards(tmp_path, {"train": 23, "val": 7})
    data = load_dataset(config(folder))
    assert (data.class_names, len(data.train), len(data.val), data.test) == (CLASSES, 23, 7, None)
    for split, name in ((data.train, "train"), (data.val, "val")):
        files = sorted(map(str, folder.glob(f"{name}-*.tar")))
        expected = list(webdataset.WebDataset(files, shardshuffle=False, empty_check=False))
        assert [Path(path).stem for path in split.paths] == [sample["__key__"] for sample in expected]
        assert split.labels.tolist() == [int(sample["cls"]) for sample in expected]
        assert [row.tobytes() for row in split.digests] == [digest_of(sample["png"]) for sample in expected]
    assert len(list(folder.glob("train-*.tar"))) == 3


def test_long_names_and_files_that_are_not_used(tmp_path):
    long = f"{'folder/' * 20}{'n' * 120}"
    files = [("readme", b"-"), (f"{long}.seg.png.txt", b"-"), (f"{long}.JPG", encoded(1)), (f"{long}.cls", b"7\n")]
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        write_tar(tmp_path / "a.tar", files[1:], kind=kind)
        (sample,) = read_shard(tmp_path, "a.tar")
        assert (sample.name, sample.label) == (f"a.tar/{long}.JPG", "7")
        assert PicturesInShards(tmp_path, [sample]).content(f"{tmp_path}/{sample.name}") == encoded(1)


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["a-train-0.tar", "a-validation-0.tar"], {"train", "val"}),
        (["train/0.tar", "val/0.tar", "test/0.tar"], {"train", "val", "test"}),
        (["part0.tar", "part1.tar"], {"train", "test"}),
    ],
)
def test_names_of_shards_and_their_folders_say_the_split(tmp_path, names, splits):
    for place, name in enumerate(names):
        write_tar(tmp_path / name, pairs(["dog", "cat"] * 12, 100 * place))
    for given in ([tmp_path], [tmp_path / name for name in names]):
        data = load_dataset(config(*given))
        assert {name for name in ("train", "val", "test") if getattr(data, name) is not None} == splits
        assert data.class_names == ("cat", "dog")


def test_numbers_are_classes_in_their_order(tmp_path):
    write_tar(tmp_path / "a.tar", pairs([10, 9, 2] * 8))
    assert load_dataset(config(tmp_path)).class_names == ("2", "9", "10")
    (tmp_path / "classnames.txt").write_text("\n".join(f"name {number}" for number in range(11)))
    assert load_dataset(config(tmp_path)).class_names == ("name 2", "name 9", "name 10")


def test_images_for_a_network_trained_on_others(tmp_path):
    write_tar(tmp_path / "train-0.tar", pairs(["cat", "dog"]))
    write_tar(tmp_path / "test-0.tar", pairs(["dog"], 10))
    with pytest.warns(PeerdistillWarning, match="has no picture of 'cat'"):
        images, name = load_images(config(tmp_path), ("cat", "dog"))
    assert (name, images.labels.tolist()) == ("test", [1])
    with pytest.raises(UserError, match=r"has no val shard: it has train and test"):
        load_images(config(tmp_path), ("cat", "dog"), "val")
    with pytest.raises(UserError, match=r"class 'cat' of the train shards of .* is not a class of the run"):
        load_images(config(tmp_path / "train-0.tar"), ("dog", "cow"))


def test_a_shard_that_changes_is_other_data(tmp_path):
    shard = write_tar(tmp_path / "a.tar", pairs([0, 1] * 10))
    options = {"cache": str(tmp_path / "kept")}
    first = load_dataset(config(shard, **options)).fingerprint
    assert load_dataset(config(shard, **options)).fingerprint == first
    files = pairs([0, 1] * 10)
    files[0] = (files[0][0], encoded(99))
    write_tar(shard, files)
    assert load_dataset(config(shard, **options)).fingerprint != first


def sentence(*places: Path, **options) -> str:
    with pytest.raises(UserError) as error:
        load_dataset(config(*places, **options))
    return str(error.value)


def test_mistakes(tmp_path):
    path = tmp_path / "a.tar"
    assert sentence(path) == f"there is no shard '{path}'"
    pattern = path.parent / "train-{000..003}.tar"
    assert sentence(pattern) == f"there is no shard '{pattern}' (write its folder in place of a pattern)"
    (tmp_path / "empty").mkdir()
    assert sentence(tmp_path / "empty") == f"folder '{tmp_path / 'empty'}' has no .tar file"
    path.write_bytes(b"no archive" * 100)
    assert sentence(path).startswith(f"cannot read shard '{path}'")
    write_tar(path, [("a.png", encoded(0)), ("b.cls", b"0")])
    assert sentence(path) == f"sample 'a' of shard '{path}' must have one .cls file, found 0"
    write_tar(path, [("a.png", encoded(0)), ("a.jpg", encoded(0)), ("a.cls", b"0")])
    assert sentence(path) == f"sample 'a' of shard '{path}' must have one picture, found 2"
    write_tar(path, [("a.png", encoded(0)), ("a.cls", b" ")])
    assert sentence(path) == f"the class of sample 'a' of shard '{path}' is empty"
    write_tar(path, pairs([0, 1]) + pairs([0]))
    assert sentence(path) == f"shard '{path}' has sample '0' twice, or its files are not in one run"
    write_tar(path, pairs([0, 0, 0, 0]))
    assert sentence(path) == f"the train shards of '{tmp_path}' has only one class: training needs at least two"
    write_tar(tmp_path / "val-0.tar", pairs([0]))
    assert sentence(tmp_path) == f"the names of these shards in '{tmp_path}' do not say their split: 'a.tar'"
    assert sentence(tmp_path / "val-0.tar") == f"'{tmp_path}' has no shard for training: its splits are val"
    write_tar(tmp_path / "b" / "train.tar.gz", pairs([0, 1]), "w:gz")
    assert sentence(tmp_path / "b" / "train.tar.gz").startswith("a shard must be a .tar file, found")


def test_class_names_that_do_not_fit(tmp_path):
    write_tar(tmp_path / "a.tar", pairs([0, 2]))
    names = tmp_path / "classnames.txt"
    names.write_text("a\nb\n")
    assert sentence(tmp_path) == f"the shards in '{tmp_path}' have the class 2, but '{names}' has 2 names"
    names.write_text("a\nb\na\n")
    assert sentence(tmp_path) == f"'{names}' has a class name twice"


def test_truncated_shards(tmp_path):
    path = write_tar(tmp_path / "a.tar", pairs([0, 1, 0, 1]))
    content = path.read_bytes()
    for size in range(0, len(content) - 9000, 512):  # the end is zeros
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"a\.tar"):
            read_shard(tmp_path, "a.tar")
    path.write_bytes(content)
    sample = Sample("a.tar/0.png", len(content) - 5, 100, "0")
    with pytest.raises(UserError, match=r"ends before it$"):
        PicturesInShards(tmp_path, [sample]).content(f"{tmp_path}/a.tar/0.png")
