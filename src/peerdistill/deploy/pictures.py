"""The picture files that a user names as files, folders, patterns and lists.

Importing this file does not import PyTorch.
"""

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from peerdistill.data.layout import is_picture
from peerdistill.data.listing import list_folder
from peerdistill.errors import UserError, cause
from peerdistill.paths import user_path

_LIST = "@"


def find_pictures(names: Sequence[Path | str]) -> list[Path]:
    """Return the picture files that ``names`` stand for, in the order of the names.

    A name is one of:

    - a file; it is not checked,
    - a folder: all pictures in it and in the folders below it, sorted,
    - a pattern such as ``"photos/**/*.jpg"``, where ``**`` stands for any folders: all pictures that match, sorted,
    - ``"@list.txt"``: a text file with one of the above per line, relative to the working directory.

    Raises:
        UserError: A folder, pattern or list holds no picture, or a folder or list cannot be read.
    """
    return [picture for name in names for picture in _pictures_of(name)]


def named_pictures(pictures: Sequence[Any]) -> list[tuple[Path | int, Path | Image.Image]]:
    """Return pictures in order, each with its name: its file, or its place among ``pictures`` if it is in memory.

    Args:
        pictures: Names as of :func:`find_pictures`, PIL images, and uint8 arrays (height, width) or (height, width,
            channels) with 1 or 3 channels.

    Raises:
        UserError: As :func:`find_pictures`, or for something else.
    """
    found: list[tuple[Path | int, Path | Image.Image]] = []
    for place, picture in enumerate(pictures):
        if isinstance(picture, str | Path):
            found += [(path, path) for path in find_pictures([picture])]
        else:
            found.append((place, _in_memory(picture, place)))
    return found


def _in_memory(picture: Any, place: int) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    pixels = np.asarray(picture) if hasattr(picture, "__array__") else np.empty(0)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    has_form = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] == 3)
    if pixels.dtype != np.uint8 or not pixels.size or not has_form:
        found = f"{pixels.dtype} {pixels.shape}" if hasattr(picture, "__array__") else type(picture).__name__
        raise UserError(
            f"picture {place} must be a path, a PIL image or a uint8 array (height, width) or (height, width, 3), "
            f"found {found}"
        )
    return Image.fromarray(pixels)


def _pictures_of(name: Path | str) -> Iterator[Path]:
    text = str(name)
    if text.startswith(_LIST) and not _exists(Path(text)):
        for line in _lines(user_path(text[1:], "a list of pictures")):
            yield from _named(line)
    else:
        yield from _named(text)


def _named(name: str) -> list[Path]:
    """Return the pictures of a file, folder or pattern."""
    path = user_path(name, "a picture")
    if _is_folder(path):
        return _below(path)
    if glob.has_magic(str(path)) and not _exists(path):
        return _matches(str(path))
    return [path]


def _below(folder: Path) -> list[Path]:
    found = [folder / path for path in sorted(list_folder(folder).paths) if is_picture(Path(path).name)]
    if not found:
        raise UserError(f"the folder {folder} and the folders below it contain no pictures")
    return found


def _matches(pattern: str) -> list[Path]:
    paths = map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute patterns)
    found = sorted(path for path in paths if is_picture(path.name) and not _is_folder(path))
    if not found:
        raise UserError(f"no picture matches the pattern {pattern}")
    return found


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="surrogateescape")  # names of files may have any bytes
    except OSError as error:
        raise UserError(f"the list of pictures {file} cannot be read: {cause(error)}") from error
    names = [line for line in text.splitlines() if line.strip()]
    if not names:
        raise UserError(f"the list of pictures {file} is empty")
    return names


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # for example a name that is too long: reading the picture says so
        return False


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
