"""Folders of class folders with pictures in them."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from peerdistill.data.arrays import TEST_FRACTION
from peerdistill.data.class_folders import find_splits, listed_bytes, note_left_out, tolerant
from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import Dataset, FolderSplit, check_known_classes, fingerprint, held_out_fingerprints
from peerdistill.data.digests import as_rows, digest_of
from peerdistill.data.layout import Pictures
from peerdistill.data.stored import Shrunk, Squares, StoredPictures, known_digests, stored_pictures
from peerdistill.errors import PeerdistillWarning, UserError, some_of

CHECKED_AT_ONCE = 20_000
"""Up to this many pictures are all decoded once before training, which takes a minute or so."""

_CROP = 224 / 256
_CHANNELS = 3
# Pictures are shrunk to a shorter side of twice the square's before random parts are taken: a part of a quarter of the
# area or more is as sharp as one of the picture itself, and smaller ones are enlarged anyway.
SHORTER = 2
# Of ImageNet's training pictures: what pretrained networks expect, and near enough for other photographs.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def load_folder(folder: Path, config: DataConfig, *, skip_unreadable: bool) -> Dataset:
    """Return the pictures below ``folder``, divided into splits.

    Where ``train/`` is inside, ``train/``, ``val/`` and ``test/`` are the splits, also by other usual names (see
    :func:`peerdistill.data.layout.split_called`); a validation split that is absent is taken from ``train/``, a test
    split only where both are absent. Class folders without ``train/`` around them are divided likewise. What is taken
    is decided by a hash of each picture's path below the folder: a fifth for testing, ``config.validation`` of the
    rest. So a picture stays in its split when others are added, and the test split stays whatever
    ``config.validation`` is. A split that is not for training may lack a class, which is told.

    All pictures are decoded once beforehand when there are at most `CHECKED_AT_ONCE` of them, so that a bad one is told
    of before training, and always when ``skip_unreadable`` is set: leaving a picture out later would
    move the rows of the others. In a larger folder a bad picture stops the training that reaches it.

    Raises:
        UserError: What :func:`peerdistill.data.class_folders.find_splits` refuses, a class that only another split
            has, a class without a training picture, or a picture that can't be read while ``skip_unreadable`` is not
            set.
    """
    found = find_splits(folder)
    found = {name: _of_classes(found["train"], part) for name, part in found.items()}
    listed = sum(len(pictures.files) for pictures in found.values())
    pictures = _divide(found, config.validation)
    squares, shrunk = _stored(folder, config)
    are_checked = skip_unreadable or listed <= CHECKED_AT_ONCE
    stored = {"train": shrunk, "val": squares, "test": squares}
    known = known_digests(folder, config, decoded=are_checked)
    digests, left_out = {}, []
    for name, part in pictures.items():
        read = stored[name].digest if are_checked else _digest_of_file
        pictures[name], digests[name] = _readable(part, partial(known.digest, read=read), skip=skip_unreadable)
        left_out += _without(part, pictures[name])
    known.keep()
    note_left_out(left_out)
    train = pictures["train"]
    _check_classes_are_trained(train)
    splits = {
        name: _folder_split(part, digests[name], squares, shrunk, config)
        for name, part in pictures.items()
        if part.files
    }
    held_out = {name: part for name, part in splits.items() if name != "train"}
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
        fingerprint=fingerprint(train.class_names, splits["train"], (*_MEAN, *_STD)),
        held_out=held_out_fingerprints({name: pictures[name].class_names for name in held_out}, held_out),
        skipped=len(left_out),
    )


def load_folder_images(
    folder: Path, config: DataConfig, class_names: Sequence[str], split: str | None
) -> tuple[FolderSplit, str]:
    """Return pictures to evaluate on, and what they are: "test" or another split, or "all".

    They are all pictures of a folder of class folders, of which one is enough. Of a folder with splits they are those
    of ``split``, by default of the first of "test", "val" and "train" that is there. Pictures that can't be read are
    left out, which is told.

    Args:
        folder: Other pictures than a network was trained on.
        config: Size and cache.
        class_names: What the labels mean. The folder may lack some of them, which is told.
        split: "test" or "val".

    Raises:
        UserError: What :func:`peerdistill.data.class_folders.find_splits` refuses, a split that is not there, or a
            class folder that is none of ``class_names``.
    """
    found = find_splits(folder, to_train=False)
    is_flat = found.keys() == {"train"}
    name = split or next(name for name in ("test", "val", "train") if name in found)
    if not is_flat and name not in found:
        raise UserError(f"'{folder}' has no {name} folder, only {' and '.join(found)}")
    part = found["train" if is_flat else name]
    check_known_classes(part.class_names, class_names, f"'{part.folder}'")
    listed = _of_classes(Pictures(part.folder, tuple(class_names), ()), part)
    squares, shrunk = _stored(folder, config)
    known = known_digests(folder, config, decoded=True)
    pictures, digests = _readable(listed, partial(known.digest, read=squares.digest), skip=True)
    known.keep()
    note_left_out(_without(listed, pictures))
    if not pictures.files:
        raise UserError(f"'{part.folder}' has no picture that can be read")
    return _folder_split(pictures, digests, squares, shrunk, config), "all" if is_flat else name


def _stored(folder: Path, config: DataConfig) -> tuple[StoredPictures, StoredPictures]:
    """Return the pictures of a folder as evaluation sees them, and as training takes parts of them."""
    squares = stored_pictures(Squares(config.image_size, _CHANNELS, _CROP), folder, config)
    shrunk = stored_pictures(Shrunk(SHORTER * config.image_size, _CHANNELS), folder, config)
    return squares, shrunk


def _folder_split(
    part: Pictures,
    digests: UInt8[np.ndarray, "pictures digest"],
    squares: StoredPictures,
    shrunk: StoredPictures,
    config: DataConfig,
) -> FolderSplit:
    shape = (config.image_size, _CROP, _CHANNELS)
    return FolderSplit(part.paths(), torch.tensor(part.labels()), squares, shrunk, *shape, part.files, digests)


def _of_classes(train: Pictures, other: Pictures) -> Pictures:
    """Return a split with the classes of training, of which it may lack some."""
    added = sorted({*other.class_names, *other.empty} - set(train.class_names))
    if added:
        raise UserError(
            f"'{train.folder}' and '{other.folder}' have different class folders: "
            f"'{added[0]}' is only in '{other.folder.name}'"
        )
    lacking = sorted(set(train.class_names) - set(other.class_names))
    if lacking:
        warnings.warn(f"'{other.folder}' has no picture of {some_of(lacking)}", PeerdistillWarning, stacklevel=3)
    return replace(other, class_names=train.class_names)


def _readable(
    pictures: Pictures, digest: Callable[[str], bytes], *, skip: bool
) -> tuple[Pictures, UInt8[np.ndarray, "pictures digest"]]:
    """Return the pictures that can be read, and the digest of each; what is decoded for that is kept for what comes."""
    with ThreadPool() as pool:  # Pillow decodes, and hashlib computes, outside of Python's lock
        found = pool.map(tolerant(digest, skip=skip), pictures.paths(), chunksize=8)
    digests = [one for one in found if one is not None]
    return pictures.where(one is not None for one in found), as_rows(digests)


def _without(pictures: Pictures, readable: Pictures) -> list[str]:
    """Return the paths of the pictures that are not among the readable ones."""
    if len(pictures.files) == len(readable.files):
        return []
    kept = set(readable.paths())
    return [path for path in pictures.paths() if path not in kept]


def _digest_of_file(path: str) -> bytes:
    return digest_of(listed_bytes(path))


def _divide(found: dict[str, Pictures], validation: float) -> dict[str, Pictures]:
    """Complete the splits that were found with parts of "train"."""
    train = found["train"]
    test_below = TEST_FRACTION if found.keys() == {"train"} else 0.0
    val_below = test_below if "val" in found else test_below + (1 - test_below) * validation
    places = [place(file) for file in train.files]
    taken = {
        "test": train.where(at < test_below for at in places),
        "val": train.where(test_below <= at < val_below for at in places),
    }
    return taken | found | {"train": train.where(at >= val_below for at in places)}


def place(name: str) -> float:
    """Return a number in [0, 1) that only the name decides, evenly spread over names."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _check_classes_are_trained(train: Pictures) -> None:
    lost = set(range(len(train.class_names))) - set(train.labels())
    if lost:
        raise UserError(
            f"class '{train.class_names[min(lost)]}' of '{train.folder}' is left without a training picture "
            "(its pictures were held out or could not be read): add some, or divide them yourself into "
            "train, val and test folders"
        )
