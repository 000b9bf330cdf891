"""Arrays on disk: npz files with the keys ``images``, ``labels`` and ``class_names``."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from peerdistill.data.arrays import LabelledImages, array_dataset
from peerdistill.data.checks import check_same_kind, checked_images
from peerdistill.data.dataset import Dataset
from peerdistill.data.npz_file import read_keys

_KEYS = ("images", "labels", "class_names")


def load_npz(files: Sequence[Path], test_files: Sequence[Path] | None, validation: float) -> Dataset:
    """Return the samples of ``files``, concatenated, and those of ``test_files`` as the test split.

    Args:
        files: Files with ``images`` (N, H, W[, C]) uint8, ``labels`` (N,) integers and ``class_names`` (classes,)
            strings.
        test_files: Such files for the test split; None: a fifth of the images is held out.
        validation: Fraction of the other images that is held out.

    Raises:
        UserError: A file does not exist, is not an npz archive, lacks a key, has arrays of another type or shape, or
            differs from the first file in class names or image size; or a class has no training image.
    """
    parts = _read_all((*files, *(test_files or ())))
    source = _concatenate([parts[file] for file in files])
    test = None if test_files is None else _concatenate([parts[file] for file in test_files])
    return array_dataset(files[0].stem, source, test, validation)


def read_arrays(files: Sequence[Path]) -> LabelledImages:
    """Return the samples of ``files``, concatenated. Some classes may have no sample.

    Raises:
        UserError: As :func:`load_npz`.
    """
    parts = _read_all(files)
    return _concatenate([parts[file] for file in files])


def _read_all(files: Sequence[Path]) -> dict[Path, LabelledImages]:
    parts = {file: checked_images(f"'{file}'", *read_keys(file, _KEYS).values()) for file in files}
    for file, part in parts.items():
        check_same_kind(f"'{files[0]}'", parts[files[0]], f"'{file}'", part)
    return parts


def _concatenate(parts: Sequence[LabelledImages]) -> LabelledImages:
    images = np.concatenate([part.images for part in parts])
    labels = np.concatenate([part.labels.astype(np.int64) for part in parts])
    return LabelledImages(images, labels, parts[0].class_names)
