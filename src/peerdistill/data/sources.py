"""From the word a user gives to a data set."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64, Integer
from torch import Tensor

from peerdistill.data.arrays import load_digits
from peerdistill.data.cifar import load_cifar
from peerdistill.data.config import DataConfig
from peerdistill.data.data_spec import CIFAR_NAMES, NAMES, NPZ, npz_files
from peerdistill.data.dataset import ArraySplit, Dataset, Split, check_known_classes
from peerdistill.data.folders import load_folder, load_folder_images
from peerdistill.data.npz import load_npz, read_samples
from peerdistill.errors import UserError
from peerdistill.paths import user_path


def load_dataset(config: DataConfig, *, download: bool = False, skip_unreadable: bool = False) -> Dataset:
    """Load the images that ``config`` names, with a validation and a test split held out.

    A split never depends on a run's seed, and no validation image comes from the test set.

    ``config.data`` is one of

    * ``digits``: the 8 x 8 grey digits that ship with scikit-learn; a fifth of them is the test split.
    * ``cifar10``, ``cifar100``: the public python files in ``config.root``, their checksums verified.
    * ``npz:FILE,FILE,...``: arrays ``images`` (N, H, W[, C]) uint8, ``labels`` (N,) and ``class_names`` (C,), the
      files' samples one after the other; ``config.test`` names such files for the test split, else a fifth is held out.
    * a folder of class folders, or of ``train/``, ``val/`` and ``test/`` with class folders inside; see
      `peerdistill.data.folders.load_folder` for how it is divided and when its pictures are checked.

    Args:
        config: What to load.
        download: Fetch cifar10 or cifar100 where they are absent.
        skip_unreadable: Leave pictures of a folder out that can't be read, and count them, instead of stopping.

    Raises:
        UserError: A field is out of range, or what it names is absent, damaged or not of the form above.
    """
    config.check()
    if config.data.startswith(NPZ):
        test_files = None if config.test is None else npz_files("test", config.test)
        return load_npz(npz_files("data", config.data), test_files, config.validation)
    if config.data == "digits":
        return load_digits(config.validation)
    if config.data in CIFAR_NAMES:
        return load_cifar(config.data, user_path(config.root, "root"), config.validation, download=download)
    return load_folder(user_path(config.data, "data"), config, skip_unreadable=skip_unreadable)


def load_images(config: DataConfig, class_names: Sequence[str], split: str | None = None) -> tuple[Split, str]:
    """Return images to evaluate a network on that was trained on others, and which of ``config`` they are.

    Of data with splits of its own (a folder with a test folder, cifar10, npz with ``test``) they are those of
    ``split``, by default the test images; of other data they are all images.

    Args:
        config: The data; of pictures also the size.
        class_names: What the labels mean. The data may lack some of them.
        split: "test" or "val".

    Returns:
        The images, and the name of their split, or "all".

    Raises:
        UserError: For data that is absent or damaged, a split that is not there, or a class that is none of
            ``class_names``.
    """
    config.check()
    if config.data in NAMES:
        data = load_dataset(config)
        images = data.val if split == "val" else data.test
        if images is None:
            raise UserError(f"'{config.data}' has no {split} images")
        labels = _labels_among(class_names, data.class_names, images.labels.numpy(), config.data)
        return replace(images, labels=labels), split or "test"
    if config.data.startswith(NPZ):
        files = npz_files("data", config.data) if config.test is None else npz_files("test", config.test)
        source = read_samples(files)
        labels = _labels_among(class_names, source.class_names, source.labels, config.data)
        images = torch.from_numpy(source.images).permute(0, 3, 1, 2).contiguous()
        return ArraySplit(images, labels), "all" if config.test is None else "test"
    return load_folder_images(user_path(config.data, "data"), config, class_names, split)


def _labels_among(
    class_names: Sequence[str], own_names: Sequence[str], labels: Integer[np.ndarray, " samples"], source: str
) -> Int64[Tensor, " samples"]:
    """Return labels that mean ``own_names`` as labels that mean ``class_names``."""
    check_known_classes([own_names[int(row)] for row in np.unique(labels)], class_names, source)
    row_of = {name: row for row, name in enumerate(class_names)}
    rows = np.array([row_of.get(name, 0) for name in own_names])
    return torch.from_numpy(rows[labels].astype(np.int64))
