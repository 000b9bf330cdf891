"""What a user may call data. Free of PyTorch: a word that names nothing is told of before anything slow is imported."""

import os
from collections.abc import Sequence
from pathlib import Path

from peerdistill.errors import UserError, unknown_name

CIFAR_NAMES = ("cifar10", "cifar100")
NAMES = ("digits", *CIFAR_NAMES)
"""Data that have a name."""

NPZ = "npz:"
"""What the names of files follow."""


def check_word(data: str, test: str | None) -> None:
    """Raise UserError where ``data`` names nothing that there is, or ``test`` does not go with it."""
    is_npz = data.startswith(NPZ)
    if test is not None and not is_npz:
        raise UserError(f"test goes with a data source npz:FILE,..., not with '{data}'")
    if is_npz:
        npz_files("data", data)
    elif data not in NAMES:
        existing_folder(data, NAMES)


def npz_files(field: str, value: str) -> list[Path]:
    """Return the files that ``npz:FILE,FILE,...`` names; errors call it ``field``."""
    names = [name.strip() for name in value.removeprefix(NPZ).split(",")]
    if not value.startswith(NPZ) or not all(names):
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
