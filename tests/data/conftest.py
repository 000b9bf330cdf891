"""Small folders of pictures and small npz files."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from support.photos import write_class_folders

MakeFolder = Callable[..., Path]
MakeNpz = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes noise pictures: ``{"class/sub": count}`` below ``tmp_path / name``."""

    def make(counts: Mapping[str, int], name: str = "photos", first: int = 0) -> Path:
        return write_class_folders(tmp_path / name, counts, first)

    return make


@pytest.fixture
def make_npz(tmp_path: Path) -> MakeNpz:
    """Return a function that writes 40 labelled 8 x 8 RGB images of 4 classes; keywords replace or add arrays."""

    def make(name: str = "train.npz", *, without: str = "", **arrays: object) -> Path:
        rng = np.random.default_rng(0)
        content = {
            "images": rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8),
            "labels": np.arange(40) % 4,
            "class_names": np.array(["ant", "bee", "cat", "dog"]),
        } | arrays
        content.pop(without, None)
        np.savez(tmp_path / name, allow_pickle=True, **content)
        return tmp_path / name

    return make
