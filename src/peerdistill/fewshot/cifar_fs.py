"""CIFAR-FS (Bertinetto et al., ICLR 2019): the classes of CIFAR-100, 64 / 16 / 20 of them, at 32 x 32."""

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
    """Return all images of CIFAR-100, training and test images alike, with the classes' splits.

    Read are the public python files in ``root``, or else all files ``cifar100_*.npz`` there (arrays ``images``,
    ``labels``, ``class_names``), which may hold a part of the images.

    Raises:
        UserError: Where neither is there, or one is damaged.
    """
    files = sorted(root.glob(_ARRAYS))
    if files and not download and not (root / _PUBLIC_FOLDER).is_dir():
        images = read_arrays(files)
    elif download or (root / _PUBLIC_FOLDER).is_dir():
        images = _joined(*read_cifar("cifar100", root, download=download))
    else:
        raise UserError(
            f"cifar-fs is not in '{root}' (neither the folder {_PUBLIC_FOLDER} nor files {_ARRAYS} there): "
            "--root names another folder, --download fetches it"
        )
    return ClassSource(images, tuple(_split_of(name) for name in images.class_names))


def _split_of(name: str) -> str:
    if name in _VAL_CLASSES:
        return "val"
    return "test" if name in _TEST_CLASSES else "train"


def _joined(first: LabelledImages, second: LabelledImages) -> LabelledImages:
    images = np.concatenate([first.images, second.images])
    return LabelledImages(images, np.concatenate([first.labels, second.labels]), first.class_names)
