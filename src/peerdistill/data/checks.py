"""Checks of images, labels and class names that come from files or from the user's own code."""

from collections import Counter

import numpy as np

from peerdistill.data.arrays import LabelledImages
from peerdistill.errors import UserError, some_of


def checked_images(where: str, images: np.ndarray, labels: np.ndarray, class_names: np.ndarray) -> LabelledImages:
    """Return images with their labels and class names after checking types, shapes and ranges.

    Args:
        where: What error messages call their origin, such as "'train.npz'".
        images: (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8, H = W.
        labels: (N,), integers, rows of ``class_names``.
        class_names: At least two different strings.

    Raises:
        UserError: One of them is not of this form.
    """
    images = _images(where, images)
    names = _class_names(where, class_names)
    return LabelledImages(images, _labels(where, labels, len(images), len(names)), names)


def check_same_kind(first: str, expected: LabelledImages, where: str, found: LabelledImages) -> None:
    """Raise UserError if two parts of a data set differ in class names or image size.

    Args:
        first: What error messages call the origin of ``expected``.
        expected: The first part.
        where: What error messages call the origin of ``found``.
        found: The second part.
    """
    if found.class_names != expected.class_names:
        differing = sorted(set(found.class_names) ^ set(expected.class_names))
        detail = f"only one of them has {some_of(differing)}" if differing else "their order differs"
        raise UserError(f"{where} and {first} have different class_names: {detail}")
    if found.images.shape[1:] != expected.images.shape[1:]:
        raise UserError(
            f"{where} has images of shape (height, width, channels) {found.images.shape[1:]}, "
            f"but {first} of shape {expected.images.shape[1:]}"
        )


def _images(where: str, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8:
        raise UserError(f"images of {where} must be uint8 with pixels in 0..255, found {images.dtype}")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or 0 in images.shape:
        raise UserError(
            f"images of {where} must have shape (N, H, W), (N, H, W, 1) or (N, H, W, 3) with N, H, W above 0, "
            f"found {images.shape}"
        )
    if images.shape[1] != images.shape[2]:
        raise UserError(f"images of {where} must be square, found {images.shape[1]} x {images.shape[2]}")
    return images


def _class_names(where: str, class_names: np.ndarray) -> tuple[str, ...]:
    if class_names.ndim != 1 or class_names.dtype.kind not in "US" or len(class_names) < 2:
        raise UserError(
            f"class_names of {where} must be two or more strings, found {class_names.dtype} of shape "
            f"{class_names.shape}"
        )
    if class_names.dtype.kind == "S":
        class_names = np.char.decode(class_names, "utf-8", "backslashreplace")
    names = tuple(class_names.tolist())
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise UserError(f"class_names of {where} contains {some_of(repeated)} more than once")
    return names


def _labels(where: str, labels: np.ndarray, samples: int, classes: int) -> np.ndarray:
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise UserError(
            f"labels of {where} must be {samples} integers, one for each image, found {labels.dtype} of shape "
            f"{labels.shape}"
        )
    if len(labels) != samples:
        raise UserError(f"{where} has {samples} images but {len(labels)} labels: one is needed for each image")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(outside):
        raise UserError(
            f"label {labels[outside[0]]} of sample {outside[0]} of {where} is outside 0..{classes - 1}, the rows of "
            f"its {classes} class_names"
        )
    return labels
