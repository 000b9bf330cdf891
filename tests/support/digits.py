"""The digits of scikit-learn as small data sets."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

FULL_RANGE = 255 / 16
"""Factor from scikit-learn's values (0 to 16) to 0 to 255."""


def digit_images(
    classes: int = 10, samples: int | None = None, *, scale: float = 15.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``samples`` images (N, 8, 8) of the first ``classes`` digits as uint8, and their labels (N,)."""
    pixels, labels = load_digits(return_X_y=True)
    rows = np.flatnonzero(labels < classes)[:samples]
    return np.rint(pixels[rows].reshape(-1, 8, 8) * scale).astype(np.uint8), labels[rows]


def digits_of_each_class(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first ``count`` images of each digit, (N, 16, 16) uint8, sorted by class, and their labels (N,).

    16 x 16 is the smallest size that conv4 takes.
    """
    images, labels = digit_images()
    rows = np.concatenate([np.flatnonzero(labels == digit)[:count] for digit in range(10)])
    return images[rows].repeat(2, axis=1).repeat(2, axis=2), labels[rows]


def write_npz(file: Path, images: np.ndarray, labels: np.ndarray, names: str = "abcdefghij") -> Path:
    """Write a data set whose class names are single letters, and return the file."""
    np.savez(file, images=images, labels=labels, class_names=np.array(list(names[: labels.max() + 1])))
    return file


def write_digits(file: Path, classes: int = 3, samples: int = 120, *, names: str = "abcdefghij", dark: int = 0) -> Path:
    """Write :func:`digit_images` to a file, with the first ``dark`` pixels set to 0, and return the file."""
    images, labels = digit_images(classes, samples)
    images.reshape(-1)[:dark] = 0
    return write_npz(file, images, labels, names)
