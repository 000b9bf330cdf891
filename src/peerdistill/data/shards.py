"""Pictures in tar files that follow the conventions of WebDataset, with an index that never changes.

A sample is a run of files with the same name up to the first dot: a picture, and a text file with the suffix ``.cls``
that has the number or the name of its class. Samples are numbered in the order of the files and of their names in each.

The tar files are read in place: the position of every picture is found once, by Python's ``tarfile``, and each picture
is then a single read. S samples.
"""

import os
import tarfile
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import Dataset, FolderSplit
from peerdistill.data.images.digests import Stamp, digest_of, member_stamp
from peerdistill.data.layout import Pictures, is_picture, split_called
from peerdistill.data.pictures import Store, picture_dataset, pictures_to_evaluate
from peerdistill.errors import UserError, cause, reading, shortened, some_of

CLASS_NAMES = "classnames.txt"
"""A file beside the shards with the name of each class, one a line, for shards whose classes are numbers."""

_LABEL = "cls"
_MOST_LABEL_BYTES = 1000


class Sample(NamedTuple):
    """A picture in a shard."""

    name: str
    """``shard.tar/picture.jpg``, relative to the folder of the shards."""
    offset: int
    """Of the picture in the shard, in bytes."""
    size: int
    label: str
    """What the ``.cls`` file says."""


class PicturesInShards:
    """The bytes of pictures in shards. Keeps three numbers a picture, which forked processes share.

    Args:
        folder: The folder of the shards.
        samples: The pictures.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample]):
        self._folder = folder
        keys_S = np.fromiter((_key(sample.name) for sample in samples), np.uint64, len(samples))
        order_S = np.argsort(keys_S)
        self._keys_S = keys_S[order_S]
        places = np.array([(sample.offset, sample.size) for sample in samples], dtype=np.int64).reshape(-1, 2)
        self._places_S = places[order_S]

    def content(self, path: str) -> bytes:
        """Return the bytes of a picture.

        Raises:
            UserError: The shard can't be read, or has become shorter.
        """
        shard, name = self._parts(path)
        offset, size = self._places_S[np.searchsorted(self._keys_S, np.uint64(_key(name)))].tolist()
        try:
            with shard.open("rb") as opened:
                opened.seek(offset)
                found = opened.read(size)
        except OSError as error:
            raise UserError(f"cannot read picture '{path}': {cause(error)}") from error
        if len(found) < size:
            raise UserError(f"cannot read picture '{path}': '{shard}' ends before it")
        return found

    def stamp(self, path: str) -> Stamp:
        """Return what changes when the shard of a picture does."""
        shard, name = self._parts(path)
        return member_stamp(str(shard), name)

    def _parts(self, path: str) -> tuple[Path, str]:
        """Return the shard of a picture, and its name relative to the folder."""
        name = path.removeprefix(f"{self._folder}/")
        shard, _, _ = name.partition(".tar/")
        return self._folder / f"{shard}.tar", name


def load_shards(files: Sequence[Path], title: str, config: DataConfig, *, skip_unreadable: bool) -> Dataset:
    """Return the pictures of shards, divided into splits.

    A shard belongs to the split that a part of its name or folder says: ``imagenet-train-0001.tar``, ``val/0.tar``. If
    no name says one, all shards are for training. :func:`peerdistill.data.pictures.picture_dataset` describes how
    missing splits are held out.

    Args:
        files: Tar files, or folders of tar files.
        title: Name of the data.
        config: Preprocessing, cache and ``validation``.
        skip_unreadable: Whether to leave out unreadable pictures.

    Raises:
        UserError: A shard can't be read or has a sample without a picture or a class, or as ``picture_dataset``.
    """
    found, store = _find(files)
    if "train" not in found:
        raise UserError(f"'{store.place}' has no shard for training: its splits are {' and '.join(found)}")
    return picture_dataset(title, found, store, config, skip_unreadable=skip_unreadable)


def load_shards_to_evaluate(
    files: Sequence[Path], config: DataConfig, class_names: Sequence[str], split: str | None
) -> tuple[FolderSplit, str]:
    """Return pictures of shards for the evaluation of a network that was trained on other ones.

    Raises:
        UserError: As :func:`load_shards`, a missing split, or a class that is not one of ``class_names``.
    """
    found, store = _find(files)
    if split is not None and split not in found and found.keys() != {"train"}:
        raise UserError(f"'{store.place}' has no {split} shard: it has {' and '.join(found)}")
    return pictures_to_evaluate(found, store, config, class_names, split)


def _find(files: Sequence[Path]) -> tuple[dict[str, Pictures], Store]:
    """Return the pictures of each split, and where they are."""
    folder, shards = _shards(files)
    samples = {split: [one for shard in part for one in read_shard(folder, shard)] for split, part in shards.items()}
    names = _class_names(folder, samples)
    found = {
        split: _pictures(folder, part, names, f"the {split} shards of '{folder}'") for split, part in samples.items()
    }
    inside = PicturesInShards(folder, [sample for part in samples.values() for sample in part])
    return found, Store(folder, inside.content, inside.stamp)


def _shards(files: Sequence[Path]) -> tuple[Path, dict[str, list[str]]]:
    """Return the folder of the shards, and their names below it in each split, sorted."""
    found = []
    for file in files:
        if not file.exists():
            patterns = " (write its folder in place of a pattern)" if set("{*?") & set(file.name) else ""
            raise UserError(f"there is no shard '{file}'{patterns}")
        inside = sorted(file.rglob("*.tar")) if file.is_dir() else [file]
        if not inside:
            raise UserError(f"folder '{file}' has no .tar file")
        found += [one.absolute() for one in inside]
    wrong = next((one for one in found if one.suffix != ".tar"), None)
    if wrong is not None:
        raise UserError(f"a shard must be a .tar file, found '{wrong}': unpack compressed ones")
    folder = Path(os.path.commonpath([one.parent for one in found]))
    names = [one.relative_to(folder).as_posix() for one in dict.fromkeys(found)]
    splits = {name: _split_of(name) for name in names}
    without = [name for name, split in splits.items() if split is None]
    if len(without) == len(names):
        return folder, {"train": sorted(names)}
    if without:
        raise UserError(f"the names of these shards in '{folder}' do not say their split: {some_of(without)}")
    found_splits = [split for split in ("train", "val", "test") if split in splits.values()]
    return folder, {split: sorted(name for name in names if splits[name] == split) for split in found_splits}


def _split_of(name: str) -> str | None:
    words = name.removesuffix(".tar").replace("_", "-").replace(".", "-").replace("/", "-").split("-")
    return next(filter(None, map(split_called, words)), None)


def read_shard(folder: Path, shard: str) -> list[Sample]:
    """Return the samples of a shard in their order.

    Args:
        folder: The folder of the shards.
        shard: Path of the shard below it.

    Raises:
        UserError: It is no tar file, has a file twice, or a sample without exactly one picture and one class.
    """
    path = folder / shard
    with reading(f"cannot read shard '{path}'"), tarfile.open(path, "r:") as archive, path.open("rb") as content:
        members = archive.getmembers()
        _check_end(path, members, content)
        files = [one for one in members if one.isreg() and not one.issparse()]
        samples = [(stem, list(parts)) for stem, parts in groupby(files, key=lambda one: _stem(one.name))]
        (stem, times), *_ = Counter(stem for stem, _ in samples).most_common(1) or [("", 0)]
        if times > 1:
            raise UserError(f"shard '{path}' has sample '{shortened(stem)}' twice, or its files are not in one run")
        return [_sample(shard, path, stem, parts, content) for stem, parts in samples]


def _check_end(path: Path, members: Sequence[tarfile.TarInfo], opened: BinaryIO) -> None:
    """Raise UserError unless a block of zeros ends the archive: ``tarfile`` accepts one that is cut between files."""
    if members:
        opened.seek(members[-1].offset_data + -(-members[-1].size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
    if opened.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise UserError(f"shard '{path}' is truncated")


def _sample(shard: str, path: Path, stem: str, parts: Sequence[tarfile.TarInfo], opened: BinaryIO) -> Sample:
    pictures = [one for one in parts if is_picture(f"a.{_suffix(one.name)}")]
    labels = [one for one in parts if _suffix(one.name) == _LABEL]
    for what, some in (("picture", pictures), (f".{_LABEL} file", labels)):
        if len(some) != 1:
            raise UserError(f"sample '{shortened(stem)}' of shard '{path}' must have one {what}, found {len(some)}")
    picture, label = pictures[0], labels[0]
    opened.seek(label.offset_data)
    text = opened.read(min(label.size, _MOST_LABEL_BYTES)).decode("utf-8", "replace").strip()
    if not text:
        raise UserError(f"the class of sample '{shortened(stem)}' of shard '{path}' is empty")
    return Sample(f"{shard}/{picture.name}", picture.offset_data, picture.size, text)


def _stem(name: str) -> str:
    """Return the name of a sample: that of its files up to the first dot."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}{file.partition('.')[0]}"


def _suffix(name: str) -> str:
    return name.rpartition(".")[2].lower()


def _key(name: str) -> int:
    return int.from_bytes(digest_of(name.encode("utf-8", "surrogatepass"))[:8], "big")


def _class_names(folder: Path, samples: dict[str, list[Sample]]) -> dict[str, str]:
    """Return the name of the class that each label stands for, in the order of the classes."""
    labels = {sample.label for part in samples.values() for sample in part}
    if not all(label.isdecimal() for label in labels):
        return {label: label for label in sorted(labels)}
    file = folder / CLASS_NAMES
    if not file.is_file():
        return {label: str(int(label)) for label in sorted(labels, key=int)}
    with reading(f"cannot read '{file}'"):
        names = file.read_text(encoding="utf-8-sig").splitlines()
    if len(set(names)) < len(names):
        raise UserError(f"'{file}' has a class name twice")
    most = max(map(int, labels), default=0)
    if most >= len(names):
        raise UserError(f"the shards in '{folder}' have the class {most}, but '{file}' has {len(names)} names")
    return {label: names[int(label)] for label in sorted(labels, key=int)}


def _pictures(folder: Path, samples: Sequence[Sample], names: dict[str, str], source: str) -> Pictures:
    classes = tuple(names[sample.label] for sample in samples)
    present = set(classes)
    ordered = tuple(dict.fromkeys(name for name in names.values() if name in present))
    return Pictures(folder, ordered, tuple(sample.name for sample in samples), classes=classes, source=source)
