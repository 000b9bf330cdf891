"""Data sets of picture files: digests, held-out splits and readers, wherever the files are kept."""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from peerdistill.data.arrays import TEST_FRACTION
from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import Dataset, FolderSplit, check_known_classes, fingerprint, held_out_fingerprints
from peerdistill.data.images.digests import Stamp, as_rows, digest_of, file_stamp
from peerdistill.data.images.preprocess import EvalCrop, Resized
from peerdistill.data.images.reader import (
    Content,
    PictureReader,
    known_digests,
    listed_bytes,
    picture_reader,
    tolerant,
    warn_left_out,
)
from peerdistill.data.layout import Pictures
from peerdistill.data.packed_names import PackedNames
from peerdistill.errors import PeerdistillWarning, UserError, some_of

CHECKED_AT_ONCE = 20_000
"""Up to this many pictures are all decoded before training, which takes about a minute."""

_CHANNELS = 3
SHORTER = 2
"""Training takes random crops from pictures whose shorter side is at most this many times the side of the images.

A crop of a quarter of the area or more is as sharp as one of the original picture; smaller crops are enlarged anyway.
"""


@dataclass(frozen=True)
class Store:
    """Where the pictures of a source are kept.

    Attributes:
        place: The folder, or another name of the source. Caches of different places are different.
        content: Returns the bytes of the picture with a path.
        stamp: Returns what changes when the picture with a path does.
    """

    place: Path | str
    content: Content = listed_bytes
    stamp: Callable[[str], Stamp] = file_stamp


def picture_dataset(
    name: str, found: dict[str, Pictures], store: Store, config: DataConfig, *, skip_unreadable: bool
) -> Dataset:
    """Return the data set of the pictures of "train" and, if they exist, "val" and "test".

    A missing validation split is taken from "train"; a missing test split only if there is no validation split either.
    A hash of each picture's name decides its split: a fifth is for testing, and ``config.validation`` of the rest for
    validation. A picture therefore stays in its split when others are added, and the test split does not depend on
    ``config.validation``. One picture of every class is for training, whatever its hash. A validation or test split may
    lack a class; if such a split is given, a warning says so.

    Up to `CHECKED_AT_ONCE` pictures are decoded before training, so that an unreadable picture is reported at once. Of
    more, training stops at the unreadable picture. With ``skip_unreadable`` all pictures are decoded before training,
    because to leave one out later would change the rows of the others.

    Args:
        name: Name of the data.
        found: The pictures of each split.
        store: Where they are kept.
        config: Preprocessing, cache and ``validation``.
        skip_unreadable: Whether to leave out unreadable pictures, and count them.

    Raises:
        UserError: A class exists only in another split than training, a class has no training picture, or, without
            ``skip_unreadable``, a picture can't be read.
    """
    found = {name: of_classes(found["train"], part) for name, part in found.items()}
    listed = sum(len(pictures.files) for pictures in found.values())
    pictures = divide(found, config.validation)
    eval_reader, train_reader = _readers(store, config)
    are_checked = skip_unreadable or listed <= CHECKED_AT_ONCE
    readers = {"train": train_reader, "val": eval_reader, "test": eval_reader}
    known = known_digests(store.place, config, decoded=are_checked, stamp=store.stamp)
    digests, left_out = {}, []
    for split, part in pictures.items():
        read = readers[split].digest if are_checked else lambda path: digest_of(store.content(path))
        pictures[split], digests[split] = _readable(part, partial(known.digest, read=read), skip=skip_unreadable)
        left_out += _without(part, pictures[split])
    known.keep()
    warn_left_out(left_out)
    train = pictures["train"]
    _check_classes_are_trained(train)
    splits = {
        split: _picture_split(part, digests[split], eval_reader, train_reader, config)
        for split, part in pictures.items()
        if part.files
    }
    held_out = {split: part for split, part in splits.items() if split != "train"}
    how = config.preprocessing
    return Dataset(
        name=name,
        class_names=train.class_names,
        channels=_CHANNELS,
        image_size=how.image_size,
        crop=how.crop,
        mean=how.mean,
        std=how.std,
        train=splits["train"],
        val=splits.get("val"),
        test=splits.get("test"),
        fingerprint=fingerprint(train.class_names, splits["train"], (*how.mean, *how.std)),
        held_out=held_out_fingerprints({split: pictures[split].class_names for split in held_out}, held_out),
        skipped=len(left_out),
        interpolation=how.interpolation,
    )


def pictures_to_evaluate(
    found: dict[str, Pictures], store: Store, config: DataConfig, class_names: Sequence[str], split: str | None
) -> tuple[FolderSplit, str]:
    """Return pictures for the evaluation of a network that was trained on other ones.

    Of pictures with splits, these are those of ``split``, by default of the first existing one of "test", "val" and
    "train". Of others, these are all; one class is enough. Unreadable pictures are left out with a warning.

    Args:
        found: The pictures of each split.
        store: Where they are kept.
        config: Preprocessing and cache.
        class_names: The classes of the network. The pictures may lack some of them; a warning says so.
        split: "test" or "val", one of ``found`` unless that has only "train".

    Returns:
        The pictures, and the name of their split or "all".

    Raises:
        UserError: A class is not one of ``class_names``, or no picture can be read.
    """
    is_flat = found.keys() == {"train"}
    name = split or next(name for name in ("test", "val", "train") if name in found)
    part = found["train" if is_flat else name]
    check_known_classes(part.class_names, class_names, part.shown)
    listed = of_classes(Pictures(part.folder, tuple(class_names), ()), part)
    eval_reader, train_reader = _readers(store, config)
    known = known_digests(store.place, config, decoded=True, stamp=store.stamp)
    pictures, digests = _readable(listed, partial(known.digest, read=eval_reader.digest), skip=True)
    known.keep()
    warn_left_out(_without(listed, pictures))
    if not pictures.files:
        raise UserError(f"{part.shown} has no readable picture")
    return _picture_split(pictures, digests, eval_reader, train_reader, config), "all" if is_flat else name


def _readers(store: Store, config: DataConfig) -> tuple[PictureReader, PictureReader]:
    """Return the readers for evaluation and for training."""
    how = config.preprocessing
    crop = EvalCrop(how.image_size, _CHANNELS, how.crop, how.interpolation)
    eval_reader = picture_reader(crop, store.place, config, store.content)
    whole = Resized(SHORTER * how.image_size, _CHANNELS, how.interpolation)
    train_reader = picture_reader(whole, store.place, config, store.content)
    return eval_reader, train_reader


def _picture_split(
    part: Pictures,
    digests: UInt8[np.ndarray, "pictures digest"],
    eval_reader: PictureReader,
    train_reader: PictureReader,
    config: DataConfig,
) -> FolderSplit:
    how = config.preprocessing
    return FolderSplit(
        PackedNames(part.files, folder=str(part.folder)),
        torch.tensor(part.labels()),
        eval_reader,
        train_reader,
        how.image_size,
        how.crop,
        _CHANNELS,
        digests,
        how.interpolation,
    )


def of_classes(train: Pictures, other: Pictures) -> Pictures:
    """Return a split with the class names of training; it may lack pictures of some classes."""
    added = sorted({*other.class_names, *other.empty} - set(train.class_names))
    if added and other.source:
        raise UserError(f"class '{added[0]}' of {other.source} is not a class of {train.shown}")
    if added:
        raise UserError(
            f"'{train.folder}' and '{other.folder}' have different class folders: "
            f"'{added[0]}' is only in '{other.folder.name}'"
        )
    lacking = sorted(set(train.class_names) - set(other.class_names))
    if lacking:
        warnings.warn(f"{other.shown} has no picture of {some_of(lacking)}", PeerdistillWarning, stacklevel=3)
    return replace(other, class_names=train.class_names)


def _readable(
    pictures: Pictures, digest: Callable[[str], bytes], *, skip: bool
) -> tuple[Pictures, UInt8[np.ndarray, "pictures digest"]]:
    """Return the readable pictures, and the digest of each. Pictures that are decoded here enter the cache."""
    with ThreadPool() as pool:  # Pillow and hashlib release Python's global lock
        found = pool.map(tolerant(digest, skip=skip), pictures.paths(), chunksize=8)
    digests = [one for one in found if one is not None]
    return pictures.where(one is not None for one in found), as_rows(digests)


def _without(pictures: Pictures, readable: Pictures) -> list[str]:
    """Return the paths of the unreadable pictures."""
    if len(pictures.files) == len(readable.files):
        return []
    kept = set(readable.paths())
    return [path for path in pictures.paths() if path not in kept]


def divide(found: dict[str, Pictures], validation: float) -> dict[str, Pictures]:
    """Add the missing splits, taken from "train"."""
    train = found["train"]
    test_below = TEST_FRACTION if found.keys() == {"train"} else 0.0
    val_below = test_below if "val" in found else test_below + (1 - test_below) * validation
    places = np.array([place(file) for file in train.files])
    is_trained = (places >= val_below) | _last_of_their_class(places, train)
    taken = {
        "test": train.where(~is_trained & (places < test_below)),
        "val": train.where(~is_trained & (places >= test_below)),
    }
    return taken | found | {"train": train.where(is_trained)}


def _last_of_their_class(places: Float[np.ndarray, " pictures"], train: Pictures) -> Bool[np.ndarray, " pictures"]:
    """Return which pictures have the highest place of their class. A small class is trained on that one."""
    labels = np.array(train.labels(), dtype=np.int64)
    order = np.lexsort((places, labels))
    is_last = np.zeros(len(places), dtype=bool)
    is_last[order[np.diff(labels[order], append=-1) != 0]] = True
    return is_last


def place(name: str) -> float:
    """Return a number in [0, 1) from a hash of ``name``, uniformly distributed over names."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _check_classes_are_trained(train: Pictures) -> None:
    if len(train.class_names) < 2:
        raise UserError(f"{train.shown} has only one class: training needs at least two")
    missing = set(range(len(train.class_names))) - set(train.labels())
    if missing:
        raise UserError(
            f"class '{train.class_names[min(missing)]}' of {train.shown} has no training picture: its pictures are "
            "unreadable or held out; add pictures, or divide them into train, val and test folders"
        )
