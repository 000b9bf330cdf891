"""Labelled images from Python objects: arrays, or a ``torch.utils.data.Dataset``."""

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch.utils.data import Dataset as TorchDataset

from peerdistill.data.arrays import LabelledImages
from peerdistill.data.checks import checked_images
from peerdistill.data.images.preprocess import fit
from peerdistill.data.npz_file import memory_bytes
from peerdistill.errors import UserError, shortened

Images = TorchDataset[Any] | tuple[Any, Any] | tuple[Any, Any, Sequence[str]]
"""Labelled images in memory, see :func:`labelled_images`."""

Prepare = Callable[[Image.Image], UInt8[np.ndarray, "size size channels"]]
"""Returns the pixels of a PIL image as a square."""

FORMS = "(images, labels), (images, labels, class_names) or a torch.utils.data.Dataset"
"""What labelled images can be, for error messages."""

_CHANNELS = (1, 3)
_SHOWS_PROGRESS = 1000
"""Progress is shown for data sets with more samples than this."""


def rgb_square(image_size: int) -> Prepare:
    """Return what prepares PIL images for training: RGB squares of ``image_size``."""
    return lambda picture: fit(picture.convert("RGB"), image_size, 3, crop=1.0)


def labelled_images(
    where: str,
    value: Any,
    prepare: Prepare,
    *,
    class_names: Sequence[str] | None = None,
    default_names: Sequence[str] | None = None,
) -> LabelledImages:
    """Return a Python object as labelled images. It is one of

    * ``(images, labels)`` or ``(images, labels, class_names)``: images (N, H, W), (N, H, W, C) or (N, C, H, W), H = W,
      C = 1 or 3; labels (N,), integers from 0 or class names; NumPy arrays, PyTorch tensors or other arrays. Images
      keep their size.
    * a ``torch.utils.data.Dataset`` with a length, whose items are ``(image, label)``. Each item is read once, in
      order, and kept in memory. PIL images become squares; arrays and tensors, (H, W), (H, W, C) or (C, H, W), keep
      their size, which must be the same for all. The class names are its attribute ``classes``.

    Pixels are uint8, or floats in 0..1, which are rounded to multiples of 1/255. Without class names, classes are the
    sorted names among the labels; classes of integers are called "0", "1", ...

    Args:
        where: What error messages call the object.
        value: The object.
        prepare: Prepares PIL images.
        class_names: The class names, whatever the object says.
        default_names: The class names if the object has none.

    Raises:
        UserError: The object is something else, or has other types, shapes or lengths.
    """
    if isinstance(value, TorchDataset):
        images, labels = _read_dataset(where, value, prepare)
        names = getattr(value, "classes", None)
    elif isinstance(value, tuple | list) and len(value) in (2, 3):
        images, labels = pixels_of(where, value[0]), _array(where, "labels", value[1])
        names = value[2] if len(value) == 3 else None
    else:
        raise UserError(f"{where} must be {FORMS}, found {described(value)}")
    found = next((one for one in (class_names, names, default_names) if one is not None), None)
    rows, known = _rows_and_names(where, labels, found)
    return checked_images(where, images, rows, known)


def pixels_of(where: str, images: Any) -> Shaped[np.ndarray, "..."]:
    """Return an array of images with the channels last, see :func:`labelled_images`; floats become bytes.

    Raises:
        UserError: It is no array, or has floats outside of 0..1.
    """
    return _channels_last(_as_bytes(f"images of {where}", _array(where, "images", images)), axis=1)


def described(value: Any) -> str:
    """Return what a value is, for error messages."""
    if isinstance(value, np.ndarray | torch.Tensor):
        return f"{type(value).__name__} of type {value.dtype} and shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        kinds = ", ".join(type(part).__name__ for part in value[:4])
        return f"a {type(value).__name__} of {len(value)} ({kinds}{', ...' if len(value) > 4 else ''})"
    if isinstance(value, str | int | float | bool | None):
        return shortened(repr(value))
    return f"an object of type {type(value).__name__}"


def _array(where: str, what: str, value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__array__") or (what == "labels" and isinstance(value, list | tuple)):
        return np.asarray(value)
    raise UserError(f"{where}: {what} must be a NumPy array or a PyTorch tensor, found {described(value)}")


def _as_bytes(what: str, pixels: np.ndarray) -> np.ndarray:
    """Return pixels as uint8: floats in 0..1, as of torchvision's ``ToTensor``, are multiplied by 255."""
    if pixels.dtype.kind != "f" or not pixels.size:
        return pixels
    least, most = float(pixels.min()), float(pixels.max())
    if not (least >= 0 and most <= 1):  # also for NaN
        raise UserError(
            f"{what} must be uint8, or floats in 0..1, found {pixels.dtype} in {least:.4g}..{most:.4g}: remove "
            "transforms such as Normalize"
        )
    return np.rint(pixels.astype(np.float32) * 255).astype(np.uint8)


def _channels_last(pixels: np.ndarray, axis: int) -> np.ndarray:
    """Return pixels with the channels last; ``axis`` is where they are otherwise, as in PyTorch."""
    has_channels_first = pixels.ndim == axis + 3 and pixels.shape[axis] in _CHANNELS
    if has_channels_first and pixels.shape[-1] not in _CHANNELS:
        return np.ascontiguousarray(np.moveaxis(pixels, axis, -1))
    return pixels


def _rows_and_names(where: str, labels: np.ndarray, names: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return labels as rows of class names, and the class names."""
    if names is not None and not (
        isinstance(names, list | tuple | np.ndarray) and all(isinstance(name, str) for name in names)
    ):
        raise UserError(f"{where}: class_names must be a list of strings, found {described(names)}")
    if labels.dtype.kind == "U" or (labels.dtype.kind == "O" and all(isinstance(name, str) for name in labels)):
        return _named_rows(where, labels, None if names is None else [str(name) for name in names])
    return labels, np.array(_numbers(where, labels) if names is None else names, dtype=str)


def _named_rows(where: str, labels: np.ndarray, names: Sequence[str] | None) -> tuple[np.ndarray, np.ndarray]:
    known = sorted(set(labels.ravel().tolist())) if names is None else list(names)
    row_of = {name: row for row, name in enumerate(known)}
    for sample, name in enumerate(labels.ravel().tolist()):
        if name not in row_of:
            raise UserError(f"label '{shortened(name)}' of sample {sample} of {where} is not one of its class_names")
    rows = np.array([row_of[name] for name in labels.ravel().tolist()], dtype=np.int64)
    return rows.reshape(labels.shape), np.array(known, dtype=str)


def _numbers(where: str, labels: np.ndarray) -> list[str]:
    """Return the names of numbered classes."""
    is_integer = labels.dtype.kind in "iu"
    classes = int(labels.max()) + 1 if is_integer and labels.size else 0
    if is_integer and classes < 2:
        raise UserError(f"{where}: labels must be of at least two classes, found {max(classes, 0)}")
    return [str(label) for label in range(max(classes, 2))]


def _read_dataset(where: str, dataset: Any, prepare: Prepare) -> tuple[np.ndarray, np.ndarray]:
    """Return all images and labels of a PyTorch data set."""
    try:
        count = len(dataset)
    except TypeError:
        raise UserError(f"{where}: the Dataset must have a length, found {described(dataset)}") from None
    if not count:
        raise UserError(f"{where}: the Dataset is empty")
    images, labels = None, []
    for row in _rows(count, where):
        image, label = _sample(where, row, dataset[row], prepare)
        labels.append(label)
        if images is None:
            _check_fits(where, count, image.nbytes)
            images = np.empty((count, *image.shape), dtype=np.uint8)
        if image.shape != images.shape[1:]:
            raise UserError(
                f"{where}: all images must have the same shape, found {image.shape} in sample {row} and "
                f"{images.shape[1:]} in sample 0"
            )
        if type(label) is not type(labels[0]):
            raise UserError(f"{where}: labels must be all integers or all names, found {label!r} in sample {row}")
        images[row] = image
    assert images is not None
    return images, np.asarray(labels)


def _rows(count: int, where: str) -> Iterable[int]:
    console = Console(stderr=True)
    is_quiet = count <= _SHOWS_PROGRESS or not console.is_terminal
    return track(range(count), f"reading {where}", console=console, transient=True, disable=is_quiet)


def _sample(where: str, row: int, item: Any, prepare: Prepare) -> tuple[UInt8[np.ndarray, "..."], int | str]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise UserError(f"{where}: a sample must be (image, label), found {described(item)} in sample {row}")
    image, label = item
    if not isinstance(label, str):
        try:
            label = int(operator.index(label))
        except TypeError:
            found = described(label)
            raise UserError(f"{where}: a label must be an integer or a name, found {found} in sample {row}") from None
    if isinstance(image, Image.Image):
        return prepare(image), label
    pixels = image.detach().cpu().numpy() if isinstance(image, torch.Tensor) else image
    if not isinstance(pixels, np.ndarray) or (pixels.dtype != np.uint8 and pixels.dtype.kind != "f"):
        raise UserError(
            f"{where}: an image must be a PIL image, or an array or tensor of uint8 or of floats in 0..1, found "
            f"{described(image)} in sample {row}"
        )
    return _channels_last(_as_bytes(f"sample {row} of {where}", pixels), axis=0), label


def _check_fits(where: str, count: int, image_bytes: int) -> None:
    if count * image_bytes > memory_bytes():
        raise UserError(
            f"{where}: {count:,} images of {image_bytes:,} bytes do not fit into the {memory_bytes():,} bytes of "
            "memory: use a smaller image_size, or a folder of class folders, which is not kept in memory"
        )
