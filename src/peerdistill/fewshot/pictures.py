"""Pictures by class, from a folder, an archive or a folder with lists, decoded once into one array."""

import csv
import zipfile
from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from peerdistill.data.arrays import LabelledImages
from peerdistill.data.class_folders import find_splits, is_picture, open_listed, read_listed, tolerant
from peerdistill.data.pictures import fit
from peerdistill.errors import UserError
from peerdistill.fewshot.dataset import SPLITS, ClassSource, divide_classes

_CHANNELS = 3
_LIST_COLUMNS = ("filename", "label")


class _Member(NamedTuple):
    """A picture of a class; ``split`` is None where nothing but the class decides it."""

    split: str | None
    class_name: str
    file: str


def decode(
    files: Sequence[str], open_one: Callable[[str], Image.Image], *, size: int, channels: int, skip: bool
) -> tuple[UInt8[np.ndarray, "kept {size} {size} {channels}"], Bool[np.ndarray, " files"]]:
    """Return the pictures that can be read as squares, and which of them that are.

    Raises:
        UserError: What ``open_one`` raises, where ``skip`` is not set.
    """
    images = np.empty((len(files), size, size, channels), dtype=np.uint8)

    def read(row: int) -> bool:
        images[row] = fit(open_one(files[row]), size, channels, crop=1.0)
        return True

    with ThreadPool() as pool:  # Pillow decodes outside of Python's lock
        found = pool.map(tolerant(read, skip=skip), range(len(files)), chunksize=32)
    is_read = np.array(found, dtype=bool)
    return images if is_read.all() else images[is_read], is_read


def load_pictures(source: Path, size: int, *, skip_unreadable: bool) -> ClassSource:
    """Return the pictures of a folder or a zip archive.

    Folders and archives hold class folders, or ``train/``, ``val/`` and ``test/`` with class folders inside, whose
    classes must differ; class folders alone are divided by :func:`peerdistill.fewshot.dataset.divide_classes`. A folder
    with ``train.csv``, ``val.csv`` and ``test.csv`` (Ravi and Larochelle, ICLR 2017; columns ``filename`` and
    ``label``) has its pictures in ``images/`` or beside the lists.

    Raises:
        UserError: There are no class folders, an empty one, a class in two splits, a list without its columns, or a
            picture that can't be read while ``skip_unreadable`` is not set.
    """
    if source.is_file():
        with _opened(source) as archive:
            members = _in_archive(source, archive)
            return _decoded(source, members, lambda name: _from_archive(source, archive, name), size, skip_unreadable)
    members = _in_lists(source) if (source / "train.csv").is_file() else _in_folders(source)
    return _decoded(source, members, open_listed, size, skip_unreadable)


def _decoded(
    source: Path, members: list[_Member], open_one: Callable[[str], Image.Image], size: int, skip: bool
) -> ClassSource:
    names, splits = _classes(source, members)
    label_of = {name: label for label, name in enumerate(names)}
    labels = np.array([label_of[member.class_name] for member in members])
    files = [member.file for member in members]
    images, is_read = decode(files, open_one, size=size, channels=_CHANNELS, skip=skip)
    return ClassSource(LabelledImages(images, labels[is_read], names), splits, skipped=int((~is_read).sum()))


def _classes(source: Path, members: list[_Member]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the classes in the order of their names, and the split of each."""
    split_of: dict[str, str | None] = {}
    for member in members:
        if split_of.setdefault(member.class_name, member.split) != member.split:
            raise UserError(
                f"class '{member.class_name}' of '{source}' is in {split_of[member.class_name]} and in {member.split}: "
                "few-shot splits share no class"
            )
    names = tuple(sorted(split_of))
    given = [split for name in names if (split := split_of[name]) is not None]
    return names, tuple(given) if given else divide_classes(names)


def _in_folders(folder: Path) -> list[_Member]:
    found = find_splits(folder)
    return [
        _Member(name if len(found) > 1 else None, pictures.class_names[label], path)
        for name, pictures in found.items()
        for label, path in zip(pictures.labels(), pictures.paths(), strict=True)
    ]


def _in_lists(folder: Path) -> list[_Member]:
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    members = []
    for split in SPLITS:
        file = folder / f"{split}.csv"
        if not file.is_file():
            raise UserError(f"'{folder}' has train.csv but no {file.name}")
        with file.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            if not set(_LIST_COLUMNS) <= set(rows.fieldnames or ()):
                raise UserError(
                    f"'{file}' must have the columns {' and '.join(_LIST_COLUMNS)}, found {rows.fieldnames}"
                )
            members += [_Member(split, row["label"], str(pictures / row["filename"])) for row in rows]
    return members


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise UserError(f"'{file}' is no zip archive of class folders: {error}") from error


def _in_archive(file: Path, archive: zipfile.ZipFile) -> list[_Member]:
    paths = [PurePosixPath(name) for name in sorted(archive.namelist())]
    pictures = [path for path in paths if is_picture(path.name) and len(path.parts) > 1]
    divided = [path for path in pictures if path.parts[0] in SPLITS and len(path.parts) > 2]
    members = [_Member(path.parts[0], path.parts[1], str(path)) for path in divided]
    members = members or [_Member(None, path.parts[0], str(path)) for path in pictures]
    if not members:
        raise UserError(f"'{file}' holds no class folders with pictures")
    return members


def _from_archive(file: Path, archive: zipfile.ZipFile, name: str) -> Image.Image:
    return read_listed(archive.read(name), f"{file}/{name}")
