"""Arrays on disk: npz files with the keys ``images``, ``labels`` and ``class_names``."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from peerdistill.data.arrays import LabelledImages, array_dataset
from peerdistill.data.dataset import Dataset
from peerdistill.data.npz_file import quoted, read_keys
from peerdistill.errors import UserError

_KEYS = ("images", "labels", "class_names")


def load_npz(files: Sequence[Path], test_files: Sequence[Path] | None, validation: float) -> Dataset:
    """Return the samples of ``files`` one after the other, and those of ``test_files`` as the test split.

    Raises:
        UserError: A file is absent, is no npz archive, lacks a key, holds another type or shape than
            `peerdistill.data.load_dataset` states, or differs from the first file in class names or image size.
    """
    parts = _read_of_one_kind((*files, *(test_files or ())))
    source = _concatenate([parts[file] for file in files])
    _check_every_class(files, source)
    test = None if test_files is None else _concatenate([parts[file] for file in test_files])
    return array_dataset(files[0].stem, source, test, validation)


def read_arrays(files: Sequence[Path]) -> LabelledImages:
    """Return the samples of ``files`` one after the other, of each class at least one.

    Raises:
        UserError: As :func:`load_npz`.
    """
    source = read_samples(files)
    _check_every_class(files, source)
    return source


def read_samples(files: Sequence[Path]) -> LabelledImages:
    """Return the samples of ``files`` one after the other; there may be none of some classes.

    Raises:
        UserError: As :func:`load_npz`.
    """
    parts = _read_of_one_kind(files)
    return _concatenate([parts[file] for file in files])


def _read_of_one_kind(files: Sequence[Path]) -> dict[Path, LabelledImages]:
    parts = {file: _read(file) for file in files}
    for file, part in parts.items():
        _check_same_kind(files[0], parts[files[0]], file, part)
    return parts


def _concatenate(parts: Sequence[LabelledImages]) -> LabelledImages:
    images = np.concatenate([part.images for part in parts])
    labels = np.concatenate([part.labels.astype(np.int64) for part in parts])
    return LabelledImages(images, labels, parts[0].class_names)


def _check_every_class(files: Sequence[Path], source: LabelledImages) -> None:
    """Raise UserError for a class that nothing can be learnt of."""
    counts = np.bincount(source.labels, minlength=len(source.class_names))
    lacking = [source.class_names[row] for row in np.flatnonzero(counts == 0)]
    if lacking:
        more = " and the files after it" if len(files) > 1 else ""
        raise UserError(f"no image of the class {quoted(lacking)} in '{files[0]}'{more}: each of class_names needs one")


def _check_same_kind(first: Path, expected: LabelledImages, file: Path, part: LabelledImages) -> None:
    if part.class_names != expected.class_names:
        differing = sorted(set(part.class_names) ^ set(expected.class_names))
        detail = f"only one of them has {quoted(differing)}" if differing else "the order differs"
        raise UserError(f"'{file}' and '{first}' have different class_names: {detail}")
    if part.images.shape[1:] != expected.images.shape[1:]:
        raise UserError(
            f"'{file}' holds images of (height, width, channels) {part.images.shape[1:]}, "
            f"but '{first}' of {expected.images.shape[1:]}"
        )


def _read(file: Path) -> LabelledImages:
    arrays = read_keys(file, _KEYS)
    images = _checked_images(file, arrays["images"])
    class_names = _checked_class_names(file, arrays["class_names"])
    labels = _checked_labels(file, arrays["labels"], len(images), len(class_names))
    return LabelledImages(images, labels, class_names)


def _checked_images(file: Path, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8:
        raise UserError(f"images of '{file}' must be uint8, found {images.dtype}")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise UserError(
            f"images of '{file}' must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3), none of them 0, "
            f"found {images.shape}"
        )
    if images.shape[1] != images.shape[2]:
        raise UserError(f"images of '{file}' must be square, found {images.shape[1]} x {images.shape[2]}")
    return images


def _checked_class_names(file: Path, class_names: np.ndarray) -> tuple[str, ...]:
    if class_names.ndim != 1 or class_names.dtype.kind not in "US" or len(class_names) < 2:
        raise UserError(
            f"class_names of '{file}' must be two or more strings, "
            f"found {class_names.dtype} of shape {class_names.shape}"
        )
    if class_names.dtype.kind == "S":
        class_names = np.char.decode(class_names, "utf-8", "backslashreplace")
    names = tuple(class_names.tolist())
    repeated = sorted(name for name, times in Counter(names).items() if times > 1)
    if repeated:
        raise UserError(f"class_names of '{file}' holds {quoted(repeated)} more than once")
    return names


def _checked_labels(file: Path, labels: np.ndarray, samples: int, classes: int) -> np.ndarray:
    if labels.dtype.kind not in "iu" or labels.shape != (samples,):
        raise UserError(
            f"labels of '{file}' must be {samples} integers, one for each image, "
            f"found {labels.dtype} of shape {labels.shape}"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise UserError(
            f"label {labels[outside[0]]} of sample {outside[0]} of '{file}' "
            f"is outside 0..{classes - 1}, the rows of its {classes} class_names"
        )
    return labels
