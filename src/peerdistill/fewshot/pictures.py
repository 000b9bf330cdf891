"""Read pictures of a folder, an archive or lists into one array."""

from collections.abc import Callable, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from peerdistill.data.arrays import LabelledImages
from peerdistill.data.class_folders import find_splits, warn_each
from peerdistill.data.images.preprocess import fit
from peerdistill.data.images.reader import open_listed, read_listed, tolerant, warn_left_out
from peerdistill.data.layout import Pictures
from peerdistill.errors import UserError
from peerdistill.fewshot.archives import PictureArchive
from peerdistill.fewshot.dataset import SPLITS, ClassSource, divide_classes
from peerdistill.fewshot.lists import Listed, read_list

_CHANNELS = 3


class _Member(NamedTuple):
    """A picture of a class; ``split`` is None if the class decides it."""

    split: str | None
    class_name: str
    file: str


def decode(
    files: Sequence[str], open_one: Callable[[str], Image.Image], *, size: int, channels: int, skip: bool
) -> tuple[UInt8[np.ndarray, "kept {size} {size} {channels}"], Bool[np.ndarray, " files"]]:
    """Return the readable pictures as squares, and a mask of which of ``files`` these are.

    Args:
        files: Names of the pictures, arguments of ``open_one``.
        open_one: Returns a decoded picture.
        size: Side of the squares in pixels.
        channels: 1 for grey, 3 for RGB.
        skip: Whether to leave out unreadable pictures with a warning.

    Raises:
        UserError: From ``open_one``, without ``skip``.
    """
    images = np.empty((len(files), size, size, channels), dtype=np.uint8)

    def read(row: int) -> bool:
        images[row] = fit(open_one(files[row]), size, channels, crop=1.0)
        return True

    with ThreadPool() as pool:  # Pillow releases Python's global lock
        found = pool.map(tolerant(read, skip=skip), range(len(files)), chunksize=32)
    is_read = np.array(found, dtype=bool)
    warn_left_out([file for file, one in zip(files, found, strict=True) if one is None])
    return images if is_read.all() else images[is_read], is_read


def load_pictures(source: Path, size: int, *, skip_unreadable: bool) -> ClassSource:
    """Return the pictures of a folder or a zip archive.

    It contains class folders, or ``train/``, ``val/`` and ``test/`` with different class folders inside. Class folders
    without splits are divided by :func:`peerdistill.fewshot.dataset.divide_classes`. A folder with ``train.csv``,
    ``val.csv`` and ``test.csv`` (Ravi and Larochelle, ICLR 2017; columns ``filename`` and ``label``) has its pictures
    in ``images/`` or beside the lists.

    Args:
        source: The folder or archive.
        size: Side in pixels to which pictures are resized.
        skip_unreadable: Whether to leave out unreadable pictures with a warning.

    Raises:
        UserError: A layout that :func:`peerdistill.data.layout.find_splits` refuses, an empty class folder, a class in
            two splits, a damaged archive or list, or, without ``skip_unreadable``, an unreadable picture.
    """
    if source.is_file():
        with PictureArchive(source) as archive:
            layout = archive.layout()
            warn_each(layout.notes)
            members = _members(layout.splits, str(source))

            def open_one(path: str) -> Image.Image:
                return read_listed(lambda: archive.content(path), archive.shown(path))

            return _decoded(source, members, open_one, size, skip_unreadable)
    is_listed = (source / "train.csv").is_file()
    members = _in_lists(source) if is_listed else _members(find_splits(source), str(source))
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
    """Return the sorted class names, and the split of each class."""
    split_of: dict[str, str | None] = {}
    for member in members:
        if split_of.setdefault(member.class_name, member.split) != member.split:
            raise UserError(
                f"class '{member.class_name}' of '{source}' is in {split_of[member.class_name]} and in {member.split}: "
                "the splits of few-shot data must not have common classes"
            )
    names = tuple(sorted(split_of))
    given = [split for name in names if (split := split_of[name]) is not None]
    return names, tuple(given) if given else divide_classes(names)


def _members(found: dict[str, Pictures], source: str) -> list[_Member]:
    for pictures in found.values():
        if pictures.empty:
            raise UserError(f"class '{pictures.empty[0]}' of '{source}' has no pictures")
    return [
        _Member(name if len(found) > 1 else None, pictures.class_names[label], path)
        for name, pictures in found.items()
        for label, path in zip(pictures.labels(), pictures.paths(), strict=True)
    ]


def _in_lists(folder: Path) -> list[_Member]:
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    members: dict[str, _Member] = {}
    first: dict[str, Listed] = {}
    for split in SPLITS:
        file = folder / f"{split}.csv"
        if not file.is_file():
            raise UserError(f"'{folder}' has train.csv but no {file.name}")
        for line in read_list(file):
            member = _Member(split, line.label, str(pictures / line.filename))
            if members.setdefault(line.filename, member) != member:
                raise UserError(
                    f"{first[line.filename].where} and {line.where} both name '{line.filename}': a picture can belong "
                    "to only one class and one split"
                )
            first.setdefault(line.filename, line)
    return list(members.values())
