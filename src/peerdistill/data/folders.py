"""Folders of class folders with pictures in them."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from multiprocessing.pool import ThreadPool
from pathlib import Path

import torch
from PIL import Image

from peerdistill.data.arrays import TEST_FRACTION
from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import Dataset, FolderSplit, fingerprint
from peerdistill.data.pictures import PICTURE_SUFFIXES, open_picture
from peerdistill.errors import UserError

CHECKED_AT_ONCE = 20_000
"""Up to this many pictures are all decoded once before training, which takes a minute or so."""

_CROP = 224 / 256
_CHANNELS = 3
# Of ImageNet's training pictures: what pretrained networks expect, and near enough for other photographs.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)

_VALIDATION_NAMES = {"val", "valid", "validation"}
_SPLIT_NAMES = {"train", "test"} | _VALIDATION_NAMES


@dataclass(frozen=True)
class _Pictures:
    """Pictures in the class folders of one folder."""

    folder: Path
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    """``class/.../file`` below the folder, in POSIX form."""

    def where(self, chosen: Iterable[bool]) -> "_Pictures":
        return replace(self, files=tuple(file for file, is_in in zip(self.files, chosen, strict=True) if is_in))

    def paths(self) -> tuple[str, ...]:
        return tuple(str(self.folder / file) for file in self.files)

    def labels(self) -> list[int]:
        label_of = {name: label for label, name in enumerate(self.class_names)}
        return [label_of[file.partition("/")[0]] for file in self.files]


def load_folder(folder: Path, config: DataConfig, *, skip_unreadable: bool) -> Dataset:
    """Return the pictures below ``folder``, divided into splits.

    Where ``train/`` is inside, ``train/``, ``val/`` (or ``valid/``, ``validation/``) and ``test/`` are the splits; a
    validation split that is absent is taken from ``train/``, a test split only where both are absent. Class
    folders without ``train/`` around them are divided likewise. What is taken is decided by a hash of each
    picture's path below the folder: a fifth for testing, ``config.validation`` of the rest. So a picture stays in
    its split when others are added, and the test split stays whatever ``config.validation`` is.

    All pictures are decoded once beforehand when there are at most `CHECKED_AT_ONCE` of them, so that a bad one is told
    of before training, and always when ``skip_unreadable`` is set: leaving a picture out later would
    move the rows of the others. In a larger folder a bad picture stops the training that reaches it.

    Raises:
        UserError: There are no class folders, only one, an empty one, other ones for another split, a class without
            a training picture, or a picture that can't be read while ``skip_unreadable`` is not set.
    """
    found = _find_splits(folder)
    listed = sum(len(pictures.files) for pictures in found.values())
    if skip_unreadable or listed <= CHECKED_AT_ONCE:
        found = {name: _readable(pictures, skip=skip_unreadable) for name, pictures in found.items()}
    skipped = listed - sum(len(pictures.files) for pictures in found.values())
    pictures = _divide(found, config.validation)
    train = pictures["train"]
    _check_classes_are_trained(train)
    splits = {name: _split(part, config.image_size) for name, part in pictures.items() if part.files}
    return Dataset(
        name=folder.resolve().name,
        class_names=train.class_names,
        channels=_CHANNELS,
        image_size=config.image_size,
        crop=_CROP,
        mean=_MEAN,
        std=_STD,
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        fingerprint=fingerprint(train.class_names, (*_MEAN, *_STD), splits["train"].labels, train.files),
        skipped=skipped,
    )


def open_listed(path: str) -> Image.Image:
    """Return a folder's picture as `open_picture` does; its error also tells how to do without the picture."""
    try:
        return open_picture(path)
    except UserError as error:
        raise UserError(f"{error} (--skip_unreadable leaves such pictures out)") from error


def _find_splits(folder: Path) -> dict[str, _Pictures]:
    """Return the pictures of "train" and, where the folder has them apart, of "val" and "test"."""
    inside = {path.name: path for path in _folders_in(folder)}
    if not _holds_splits(inside):
        return {"train": _list_pictures(folder)}
    if "train" not in inside:
        raise UserError(f"'{folder}' has {' and '.join(sorted(inside))} but no train folder")
    validation = sorted(_VALIDATION_NAMES & inside.keys())
    if len(validation) > 1:
        raise UserError(f"'{folder}' has {' and '.join(validation)}: one validation folder is allowed")
    places = {"train": "train", "val": next(iter(validation), "val"), "test": "test"}
    found = {name: _list_pictures(inside[place]) for name, place in places.items() if place in inside}
    for other in found.values():
        _check_same_classes(found["train"], other)
    return found


def _holds_splits(inside: Mapping[str, Path]) -> bool:
    """Tell folders that are splits from class folders, one of which may be of trains: it has pictures in itself."""
    if inside and inside.keys() <= _SPLIT_NAMES:
        return True
    return "train" in inside and not any(_is_picture(path.name) for path in inside["train"].iterdir())


def _list_pictures(folder: Path) -> _Pictures:
    classes = _folders_in(folder)
    if not classes:
        raise UserError(f"'{folder}' has no class folders: every class needs a folder with its pictures in it")
    if len(classes) == 1:
        raise UserError(f"'{folder}' has only one class folder, '{classes[0].name}': at least two are needed")
    files: list[str] = []
    for class_folder in classes:
        members = _files_below(class_folder)
        if not members:
            raise UserError(f"class folder '{class_folder}' holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
        files += members
    return _Pictures(folder, tuple(path.name for path in classes), tuple(files))


def _folders_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files_below(class_folder: Path) -> list[str]:
    files: list[str] = []
    for parent, folders, names in os.walk(class_folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        prefix = Path(parent).relative_to(class_folder.parent).as_posix()
        files += [f"{prefix}/{name}" for name in names if _is_picture(name)]
    return sorted(files)


def _is_picture(name: str) -> bool:
    return name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")


def _check_same_classes(train: _Pictures, other: _Pictures) -> None:
    differing = sorted(set(train.class_names) ^ set(other.class_names))
    if differing:
        holder = train if differing[0] in train.class_names else other
        raise UserError(
            f"'{train.folder}' and '{other.folder}' have different class folders: "
            f"'{differing[0]}' is only in '{holder.folder.name}'"
        )


def _readable(pictures: _Pictures, *, skip: bool) -> _Pictures:
    check = _can_be_read if skip else _must_be_read
    with ThreadPool() as pool:  # Pillow decodes outside of Python's lock
        return pictures.where(pool.imap(check, pictures.paths(), chunksize=8))


def _must_be_read(path: str) -> bool:
    open_listed(path)
    return True


def _can_be_read(path: str) -> bool:
    try:
        return _must_be_read(path)
    except UserError:
        return False


def _divide(found: dict[str, _Pictures], validation: float) -> dict[str, _Pictures]:
    """Complete the splits that were found with parts of "train"."""
    train = found["train"]
    test_below = TEST_FRACTION if found.keys() == {"train"} else 0.0
    val_below = test_below if "val" in found else test_below + (1 - test_below) * validation
    places = [_place(file) for file in train.files]
    taken = {
        "test": train.where(place < test_below for place in places),
        "val": train.where(test_below <= place < val_below for place in places),
    }
    return taken | found | {"train": train.where(place >= val_below for place in places)}


def _place(file: str) -> float:
    """Return a number in [0, 1) that only the path decides, evenly spread over paths."""
    digest = hashlib.sha256(file.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _check_classes_are_trained(train: _Pictures) -> None:
    lost = set(range(len(train.class_names))) - set(train.labels())
    if lost:
        raise UserError(
            f"class '{train.class_names[min(lost)]}' of '{train.folder}' is left without a training picture "
            "(its pictures were held out or could not be read): add some, or divide them yourself into "
            "train, val and test folders"
        )


def _split(pictures: _Pictures, image_size: int) -> FolderSplit:
    return FolderSplit(
        paths=pictures.paths(),
        labels=torch.tensor(pictures.labels()),
        image_size=image_size,
        crop=_CROP,
        channels=_CHANNELS,
    )
