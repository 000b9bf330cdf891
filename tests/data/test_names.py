"""Names of class folders in any script, and archives that unpack to more than the machine has."""

import numpy as np
import pytest

from peerdistill.data import load_dataset, npz_file
from peerdistill.data.config import DataConfig
from peerdistill.errors import UserError, printable
from support.photos import write_noise

NAMES = (
    "קטגוריה",  # right to left
    "قط",
    "caf\u00e9",  # the same letters, composed and with a combining accent, are two folders
    "cafe\u0301",
    "ชั้น",  # combining vowels
    "👩‍🔬",  # one glyph of three code points
    "two\nlines",
    "esc\x1b[31m",
    "\u202egnp.exe",
)


def test_class_folders_may_have_names_in_any_script(tmp_path):
    for place, name in enumerate(NAMES):
        for number in range(3):
            write_noise(tmp_path / "train" / name / f"{number}.png", 10 * place + number, 8, 8)
            write_noise(tmp_path / "val" / name / f"{number}.png", 10 * place + number + 500, 8, 8)
    found = load_dataset(DataConfig(str(tmp_path), image_size=8, cache="off"))
    assert set(found.class_names) == set(NAMES)
    assert [printable(name) == name for name in NAMES] == [True] * 6 + [False] * 3


def test_an_archive_that_unpacks_to_more_than_the_memory_is_refused(tmp_path, monkeypatch):
    """50 MB of zeros are 50 KB in the file."""
    np.savez_compressed(tmp_path / "bomb.npz", images=np.zeros((50, 1000, 1000), np.uint8), labels=0, class_names="a")
    assert (tmp_path / "bomb.npz").stat().st_size < 2**17
    monkeypatch.setattr(npz_file, "memory_bytes", lambda: 10**7)
    with pytest.raises(UserError, match=r"'images' of .*bomb.npz' has 50,000,\d{3} bytes, this machine has 10,000,000"):
        load_dataset(DataConfig(f"npz:{tmp_path / 'bomb.npz'}"))
