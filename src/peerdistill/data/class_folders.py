"""Class folders and the pictures in them. Free of PyTorch."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from peerdistill.data.pictures import PICTURE_SUFFIXES, open_picture, picture_bytes, read_picture
from peerdistill.errors import UserError

Result = TypeVar("Result")

_VALIDATION_NAMES = {"val", "valid", "validation"}
_SPLIT_NAMES = {"train", "test"} | _VALIDATION_NAMES


@dataclass(frozen=True)
class Pictures:
    """Pictures in the class folders of one folder."""

    folder: Path
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    """``class/.../file`` below the folder, in POSIX form."""

    def where(self, chosen: Iterable[bool]) -> "Pictures":
        """Return those of the files that are chosen; the classes stay."""
        return replace(self, files=tuple(file for file, is_in in zip(self.files, chosen, strict=True) if is_in))

    def paths(self) -> tuple[str, ...]:
        """Return the path of each file."""
        return tuple(str(self.folder / file) for file in self.files)

    def labels(self) -> list[int]:
        """Return the class of each file, a row of ``class_names``."""
        label_of = {name: label for label, name in enumerate(self.class_names)}
        return [label_of[file.partition("/")[0]] for file in self.files]


def find_splits(folder: Path) -> dict[str, Pictures]:
    """Return the pictures of "train" and, where the folder has them apart, of "val" and "test".

    Raises:
        UserError: Where there are no class folders, only one, an empty one, or splits without ``train/``.
    """
    inside = {path.name: path for path in folders_in(folder)}
    if not _holds_splits(inside):
        return {"train": list_pictures(folder)}
    if "train" not in inside:
        raise UserError(f"'{folder}' has {' and '.join(sorted(inside))} but no train folder")
    validation = sorted(_VALIDATION_NAMES & inside.keys())
    if len(validation) > 1:
        raise UserError(f"'{folder}' has {' and '.join(validation)}: one validation folder is allowed")
    places = {"train": "train", "val": next(iter(validation), "val"), "test": "test"}
    return {name: list_pictures(inside[place]) for name, place in places.items() if place in inside}


def _holds_splits(inside: Mapping[str, Path]) -> bool:
    """Tell folders that are splits from class folders, one of which may be of trains: it has pictures in itself."""
    if inside and inside.keys() <= _SPLIT_NAMES:
        return True
    return "train" in inside and not any(is_picture(path.name) for path in inside["train"].iterdir())


def list_pictures(folder: Path) -> Pictures:
    """Return the pictures in the class folders of ``folder``, sorted.

    Raises:
        UserError: Where there are no class folders, only one, or an empty one.
    """
    classes = folders_in(folder)
    if not classes:
        raise UserError(f"'{folder}' has no class folders: every class needs a folder with its pictures in it")
    if len(classes) == 1:
        raise UserError(f"'{folder}' has only one class folder, '{classes[0].name}': at least two are needed")
    files: list[str] = []
    for class_folder in classes:
        members = _files_below(class_folder)
        if not members:
            raise UserError(f"class folder '{class_folder}' holds no pictures ({', '.join(PICTURE_SUFFIXES)})")
        files += members
    return Pictures(folder, tuple(path.name for path in classes), tuple(files))


def folders_in(folder: Path) -> list[Path]:
    """Return the folders directly in ``folder`` that are not hidden, sorted."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files_below(class_folder: Path) -> list[str]:
    files: list[str] = []
    for parent, folders, names in os.walk(class_folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        prefix = Path(parent).relative_to(class_folder.parent).as_posix()
        files += [f"{prefix}/{name}" for name in names if is_picture(name)]
    return sorted(files)


def is_picture(name: str) -> bool:
    """Tell whether a file counts as a picture."""
    return name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")


def open_listed(path: str) -> Image.Image:
    """Return a folder's picture as `open_picture` does; its error also tells how to do without the picture."""
    with _hint():
        return open_picture(path)


def listed_bytes(path: str) -> bytes:
    """Return what is in a folder's picture file, for :func:`read_listed`."""
    with _hint():
        return picture_bytes(path)


def read_listed(content: bytes, name: str) -> Image.Image:
    """Return a picture as :func:`open_listed` does, from the content of its file; errors call it ``name``."""
    with _hint():
        return read_picture(BytesIO(content), name)


def tolerant(read: Callable[[Any], Result], *, skip: bool) -> Callable[[Any], Result | None]:
    """Return a function that reads by ``read`` and returns None for what can't be read.

    Without ``skip`` the error of ``read`` is raised.
    """

    def result(what: Any) -> Result | None:
        try:
            return read(what)
        except UserError:
            if skip:
                return None
            raise

    return result


@contextmanager
def _hint() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{error} (--skip_unreadable leaves such pictures out)") from error
