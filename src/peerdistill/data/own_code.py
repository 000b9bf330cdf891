"""Images from the user's own code: ``package.module:function``."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch.utils.data import Dataset as TorchDataset

from peerdistill.data.arrays import LabelledImages
from peerdistill.data.checks import check_same_kind, checked_images
from peerdistill.data.images.preprocess import fit
from peerdistill.data.npz_file import memory_bytes
from peerdistill.errors import UserError, shortened
from peerdistill.user_code import user_function

_CHANNELS = 3
_SHOWS_PROGRESS = 1000
"""Progress is shown for data sets with more samples than this."""


def load_own(name: str, image_size: int, class_names: Sequence[str] | None = None) -> LabelledImages:
    """Return what the user's function ``package.module:function``, called without arguments, returns as arrays.

    The function returns one of

    * ``(images, labels)`` or ``(images, labels, class_names)``: images (N, H, W) or (N, H, W, C), uint8, H = W, C = 1
      or 3; labels (N,), integers from 0; NumPy arrays or PyTorch tensors. They keep their size.
    * a ``torch.utils.data.Dataset`` with a length, whose items are ``(image, label)``. Each item is read once, in
      order, and kept in memory. PIL images become RGB squares of ``image_size``; arrays and tensors (H, W) or
      (H, W, C), uint8, keep their size, which must be the same for all. The class names are its attribute ``classes``.

    Without class names, the classes are called "0", "1", ...

    Args:
        name: Name of the function.
        image_size: Side in pixels to which PIL images are resized.
        class_names: Class names if the function returns none.

    Raises:
        UserError: There is no such function, or it returns something else.
    """
    returned = user_function(name, "data")()
    where = f"data {name}"
    if isinstance(returned, TorchDataset):
        images, labels = _read_dataset(where, returned, image_size)
        names = getattr(returned, "classes", None)
    elif isinstance(returned, tuple | list) and len(returned) in (2, 3):
        images, labels = (_array(where, what, part) for what, part in zip(("images", "labels"), returned, strict=False))
        names = returned[2] if len(returned) == 3 else None
    else:
        raise UserError(
            f"{where} must return (images, labels), (images, labels, class_names) or a torch.utils.data.Dataset, "
            f"found {_described(returned)}"
        )
    if names is None:
        names = class_names
    return checked_images(where, images, labels, _names(where, names, labels))


def load_own_test(name: str, source: LabelledImages, source_name: str, image_size: int) -> LabelledImages:
    """Return the test images of the user's function ``name``, as :func:`load_own`.

    Args:
        name: Name of the function.
        source: The training images, whose class names and image size the test images must have.
        source_name: Name of the function that returned them.
        image_size: Side in pixels to which PIL images are resized.

    Raises:
        UserError: As :func:`load_own`, or the class names or the image sizes differ.
    """
    test = load_own(name, image_size, source.class_names)
    check_same_kind(f"data {source_name}", source, f"data {name}", test)
    return test


def _array(where: str, what: str, value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return value
    if what == "labels" and isinstance(value, list | tuple):
        return np.asarray(value)
    raise UserError(f"{where}: {what} must be a NumPy array or a PyTorch tensor, found {_described(value)}")


def _names(where: str, names: Any, labels: np.ndarray) -> np.ndarray:
    if names is None:
        classes = int(labels.max()) + 1 if labels.dtype.kind in "iu" and labels.size else 0
        if labels.dtype.kind in "iu" and classes < 2:
            raise UserError(f"{where}: labels must be of at least two classes, found {max(classes, 0)}")
        return np.array([str(label) for label in range(max(classes, 2))])
    if not isinstance(names, list | tuple | np.ndarray) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: class_names must be a list of strings, found {_described(names)}")
    return np.array(names, dtype=str)


def _read_dataset(where: str, dataset: Any, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all images and labels of a PyTorch data set."""
    try:
        count = len(dataset)
    except TypeError:
        raise UserError(f"{where}: the Dataset must have a length, found {_described(dataset)}") from None
    if not count:
        raise UserError(f"{where}: the Dataset is empty")
    images, labels = None, np.empty(count, dtype=np.int64)
    for row in _rows(count, where):
        image, labels[row] = _sample(where, row, dataset[row], image_size)
        if images is None:
            _check_fits(where, count, image.nbytes)
            images = np.empty((count, *image.shape), dtype=np.uint8)
        if image.shape != images.shape[1:]:
            raise UserError(
                f"{where}: all images must have the same shape, found {image.shape} in sample {row} and "
                f"{images.shape[1:]} in sample 0"
            )
        images[row] = image
    assert images is not None
    return images, labels


def _rows(count: int, where: str) -> Iterable[int]:
    console = Console(stderr=True)
    is_quiet = count <= _SHOWS_PROGRESS or not console.is_terminal
    return track(range(count), f"reading {where}", console=console, transient=True, disable=is_quiet)


def _sample(where: str, row: int, item: Any, image_size: int) -> tuple[UInt8[np.ndarray, "..."], int]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise UserError(f"{where}: a sample must be (image, label), found {_described(item)} in sample {row}")
    image, label = item
    try:
        number = operator.index(label)
    except TypeError:
        raise UserError(f"{where}: a label must be an integer, found {_described(label)} in sample {row}") from None
    if isinstance(image, Image.Image):
        return fit(image.convert("RGB"), image_size, _CHANNELS, crop=1.0), number
    pixels = image.numpy() if isinstance(image, torch.Tensor) else image
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        raise UserError(
            f"{where}: an image must be a PIL image, or a uint8 array or tensor (height, width, channels), found "
            f"{_described(image)} in sample {row}: remove transforms such as ToTensor"
        )
    return pixels, number


def _check_fits(where: str, count: int, image_bytes: int) -> None:
    if count * image_bytes > memory_bytes():
        raise UserError(
            f"{where}: {count:,} images of {image_bytes:,} bytes do not fit into the {memory_bytes():,} bytes of "
            "memory: use a smaller image_size, or a folder of class folders, which is not kept in memory"
        )


def _described(value: Any) -> str:
    """Return what a value is, for error messages."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"{type(value).__name__} of type {value.dtype} and shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        kinds = ", ".join(type(part).__name__ for part in value[:4])
        return f"a {type(value).__name__} of {len(value)} ({kinds}{', ...' if len(value) > 4 else ''})"
    if isinstance(value, str | int | float | bool | None):
        return shortened(repr(value))
    return f"an object of type {type(value).__name__}"
