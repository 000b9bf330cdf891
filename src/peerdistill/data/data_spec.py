"""What a user may call data. Free of PyTorch: a word that names nothing is told of before anything slow is imported."""

import os
import warnings
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from peerdistill.errors import PeerdistillWarning, UserError, shortened
from peerdistill.paths import absolute_path, user_path

CIFAR_NAMES = ("cifar10", "cifar100")
NAMES = ("digits", *CIFAR_NAMES)
"""Data that have a name."""

NPZ = "npz:"
"""What the names of files follow."""


def note_shadowed_folder(data: str, names: Sequence[str]) -> None:
    """Say which one is taken where ``data`` is the name of built-in data, and of a folder here as well."""
    if data in names and Path(data).is_dir():
        text = f"'{data}' is the built-in data of that name: write {os.curdir}{os.sep}{data} for the folder beside it"
        warnings.warn(text, PeerdistillWarning, stacklevel=2)


def absolute_word(data: str, names: Sequence[str]) -> str:
    """Return ``data`` with its paths absolute, so that it can be used from any folder; one of ``names`` stays."""
    if data in names or not data.strip():
        return data
    if data.startswith(NPZ):
        files = [name.strip() for name in data.removeprefix(NPZ).split(",")]
        return NPZ + ",".join(str(absolute_path(file, "data")) if file else "" for file in files)
    folder = user_path(data, "data")
    return str(folder.absolute()) if folder.exists() else data


def lost_place(data: str, names: Sequence[str]) -> Path | None:
    """Return the first file or folder of ``data`` that does not exist, None where all do or it is one of ``names``."""
    if data in names:
        return None
    places = npz_files("data", data) if data.startswith(NPZ) else [user_path(data, "data")]
    return next((place for place in places if not place.exists()), None)


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
    return [user_path(name, field) for name in names]


def existing_folder(name: str, names: Sequence[str]) -> Path:
    """Return the folder called ``name``; errors name the built-in data, ``names``.

    Raises:
        UserError: Where there is none.
    """
    allowed = f"data is {', '.join(names)}, {NPZ}FILE,... or a folder of class folders"
    if not name.strip():
        raise UserError(f"the name of the data is empty: {allowed}")
    folder = user_path(name, "data")
    if folder.is_dir():
        return folder
    if folder.exists():
        raise UserError(f"'{name}' is a file: {allowed}")
    if os.sep in name:
        raise UserError(f"folder '{name}' does not exist")
    near = get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    raise UserError(f"unknown data '{shortened(name)}'{hint}: {allowed}, and there is no folder '{shortened(name)}'")
