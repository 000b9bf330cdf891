"""From the word a user gives to a data set."""

import os
from collections.abc import Sequence
from pathlib import Path

from peerdistill.data.arrays import load_digits
from peerdistill.data.cifar import load_cifar
from peerdistill.data.config import DataConfig
from peerdistill.data.dataset import Dataset
from peerdistill.data.folders import load_folder
from peerdistill.data.npz import load_npz
from peerdistill.errors import UserError, unknown_name

_NAMES = ("digits", "cifar10", "cifar100")
_NPZ = "npz:"


def load_dataset(config: DataConfig, *, download: bool = False, skip_unreadable: bool = False) -> Dataset:
    """Load the images that ``config`` names, with a validation and a test split held out.

    A split never depends on a run's seed, and no validation image comes from the test set.

    ``config.data`` is one of

    * ``digits``: the 8 x 8 grey digits that ship with scikit-learn; a fifth of them is the test split.
    * ``cifar10``, ``cifar100``: the public python files in ``config.root``, their checksums verified.
    * ``npz:FILE,FILE,...``: arrays ``images`` (N, H, W[, C]) uint8, ``labels`` (N,) and ``class_names`` (C,), the
      files' samples one after the other; ``config.test`` names such files for the test split, else a fifth is held out.
    * a folder of class folders, or of ``train/``, ``val/`` and ``test/`` with class folders inside; see
      `peerdistill.data.folders.load_folder` for how it is divided and when its pictures are checked.

    Args:
        config: What to load.
        download: Fetch cifar10 or cifar100 where they are absent.
        skip_unreadable: Leave pictures of a folder out that can't be read, and count them, instead of stopping.

    Raises:
        UserError: A field is out of range, or what it names is absent, damaged or not of the form above.
    """
    config.check()
    is_npz = config.data.startswith(_NPZ)
    if config.test is not None and not is_npz:
        raise UserError(f"test goes with a data source npz:FILE,..., not with '{config.data}'")
    if is_npz:
        test_files = None if config.test is None else npz_files("test", config.test)
        return load_npz(npz_files("data", config.data), test_files, config.validation)
    if config.data == "digits":
        return load_digits(config.validation)
    if config.data in _NAMES:
        return load_cifar(config.data, Path(config.root).expanduser(), config.validation, download=download)
    return load_folder(existing_folder(config.data, _NAMES), config, skip_unreadable=skip_unreadable)


def npz_files(field: str, value: str) -> list[Path]:
    """Return the files that ``npz:FILE,FILE,...`` names; errors call it ``field``."""
    names = [name.strip() for name in value.removeprefix(_NPZ).split(",")]
    if not value.startswith(_NPZ) or not all(names):
        raise UserError(f"{field} must be npz:FILE or npz:FILE,FILE,..., found '{value}'")
    return [Path(name).expanduser() for name in names]


def existing_folder(name: str, other_words: Sequence[str]) -> Path:
    """Return the folder called ``name``; errors name the ``other_words`` that data may be.

    Raises:
        UserError: Where there is none.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UserError(f"'{name}' is a file: data is a folder of class folders, npz:FILE, or {', '.join(other_words)}")
    if os.sep in name:
        raise UserError(f"folder '{name}' does not exist")
    raise UserError(f"{unknown_name('data', name, other_words)} (there is no folder '{name}' either)")
