"""Image files of random noise and of stripes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def noise(seed: int, height: int = 18, width: int = 24) -> np.ndarray:
    """Return an RGB image of noise (height, width, 3), uint8."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_noise(file: Path, seed: int = 0, height: int = 18, width: int = 24) -> Path:
    """Write an image of noise, create its folder, and return the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, height, width)).save(file)
    return file


def write_photos(folder: Path, count: int = 12, height: int = 18, width: int = 24, *, seed: int = 0) -> Path:
    """Write ``count`` images of noise, alternately to the class folders ``cat`` and ``dog``, and return the folder."""
    for number in range(count):
        write_noise(folder / ("cat", "dog")[number % 2] / f"{number}.png", seed + number, height, width)
    return folder


def write_class_folders(folder: Path, counts: Mapping[str, int], first: int = 0) -> Path:
    """Write images of noise named by number from ``first`` on: ``{"class": count}``. Return the folder."""
    for place, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            write_noise(folder / name / f"{number}.png", 1000 * place + number, 20, 30)
    return folder


def stripes(seed: int, kind: int, side: int = 18) -> np.ndarray:
    """Return dark noise with bright stripes, 2 to 6 pixels apart: horizontal in kinds 0 to 4, vertical in 5 to 9."""
    pixels = np.random.default_rng(seed).integers(0, 60, (side, side, 3), dtype=np.uint8)
    pixels[:: 2 + kind % 5] += 150
    return pixels if kind < 5 else pixels.swapaxes(0, 1)


def write_stripes(folder: Path, kinds: int = 10, count: int = 8) -> Path:
    """Write ``count`` images of each kind of :func:`stripes` to a class folder, and return the folder."""
    for kind in range(kinds):
        (folder / f"shape{kind}").mkdir(parents=True)
        for number in range(count):
            Image.fromarray(stripes(100 * kind + number, kind)).save(folder / f"shape{kind}" / f"{number}.png")
    return folder
