"""CIFAR-10 and CIFAR-100 in their public Python files, read and verified by torchvision."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from torchvision.datasets import CIFAR10, CIFAR100

from peerdistill.data.arrays import LabelledImages, Statistics, array_dataset
from peerdistill.data.dataset import Dataset
from peerdistill.errors import UserError, cause


class _Kind(NamedTuple):
    reader: type[CIFAR10]
    mean: Statistics
    std: Statistics


# Mean and standard deviation of the 50,000 training images.
_KINDS = {
    "cifar10": _Kind(CIFAR10, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": _Kind(CIFAR100, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}


def load_cifar(name: str, root: Path, validation: float, *, download: bool) -> Dataset:
    """Return a data set of CIFAR.

    Args:
        name: "cifar10" or "cifar100".
        root: Folder of the data set.
        validation: Fraction of the training images that is held out.
        download: Whether to download the files if they do not exist.

    Raises:
        UserError: The files do not exist, are damaged (their checksums differ) or can't be downloaded.
    """
    train, test = read_cifar(name, root, download=download)
    return array_dataset(name, train, test, validation, (_KINDS[name].mean, _KINDS[name].std))


def read_cifar(name: str, root: Path, *, download: bool) -> tuple[LabelledImages, LabelledImages]:
    """Return the training and test images of "cifar10" or "cifar100".

    Raises:
        UserError: As :func:`load_cifar`.
    """
    kind = _KINDS[name]
    folder = root / kind.reader.base_folder
    try:
        train = kind.reader(root, train=True, download=download)
        test = kind.reader(root, train=False)
    except Exception as error:  # whatever unpacking, downloading and reading raise
        raise UserError(_sentence(name, folder, error, download=download)) from error
    return _images(train), _images(test)


def _sentence(name: str, folder: Path, error: Exception, *, download: bool) -> str:
    if download:
        return f"cannot download {name} into '{folder.parent}': {cause(error)}"
    if folder.is_dir():
        return f"{name} in '{folder}' is incomplete or damaged: remove this folder and add --download"
    missing = f"'{folder.parent}' has no {name} (no folder '{folder.name}')"
    return f"{missing}: choose another folder with --root, or add --download"


def _images(reader: CIFAR10) -> LabelledImages:
    return LabelledImages(reader.data, np.asarray(reader.targets), tuple(reader.classes))
