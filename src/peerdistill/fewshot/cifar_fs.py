"""CIFAR-FS (Bertinetto et al., ICLR 2019): the classes of CIFAR-100 divided into 64 / 16 / 20, 32 x 32 pixels."""

from pathlib import Path

import numpy as np

from peerdistill.data.arrays import LabelledImages
from peerdistill.data.cifar import read_cifar
from peerdistill.data.npz import read_arrays
from peerdistill.errors import UserError
from peerdistill.fewshot.dataset import ClassSource

_VAL_CLASSES = frozenset(
    {
        *("beaver", "beetle", "butterfly", "camel", "cattle", "crab", "crocodile", "flatfish", "lamp", "maple_tree"),
        *("motorcycle", "otter", "sea", "shark", "television", "tractor"),
    }
)
_TEST_CLASSES = frozenset(
    {
        *("baby", "bed", "bicycle", "chimpanzee", "fox", "leopard", "man", "pickup_truck", "plain", "poppy", "rocket"),
        *("rose", "snail", "sweet_pepper", "table", "telephone", "wardrobe", "whale", "woman", "worm"),
    }
)
_PUBLIC_FOLDER = "cifar-100-python"
_ARRAYS = "cifar100_*.npz"


def load_cifar_fs(root: Path, *, download: bool = False) -> ClassSource:
    """Return all images of CIFAR-100, of its training and test set, with the split of each class.

    They are read from the public Python files in ``root``, otherwise from all files ``cifar100_*.npz`` there (arrays
    ``images``, ``labels``, ``class_names``), which may have only a part of the images.

    Raises:
        UserError: Neither exists, or a file is damaged.
    """
    files = sorted(root.glob(_ARRAYS))
    if files and not download and not (root / _PUBLIC_FOLDER).is_dir():
        images = read_arrays(files)
    elif download or (root / _PUBLIC_FOLDER).is_dir():
        images = _joined(*read_cifar("cifar100", root, download=download))
    else:
        raise UserError(
            f"'{root}' has no cifar-fs (no folder {_PUBLIC_FOLDER}, no files {_ARRAYS}): choose another folder with "
            "--root, or add --download"
        )
    return ClassSource(images, tuple(_split_of(name) for name in images.class_names))


def _split_of(name: str) -> str:
    if name in _VAL_CLASSES:
        return "val"
    return "test" if name in _TEST_CLASSES else "train"


def _joined(first: LabelledImages, second: LabelledImages) -> LabelledImages:
    images = np.concatenate([first.images, second.images])
    return LabelledImages(images, np.concatenate([first.labels, second.labels]), first.class_names)
