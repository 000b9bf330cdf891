"""Class folders and the pictures in them. Free of PyTorch."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from peerdistill.data.layout import Pictures
from peerdistill.data.layout import find_splits as layout_of
from peerdistill.data.listing import each_once, list_folder
from peerdistill.data.pictures import open_picture, picture_bytes, read_picture
from peerdistill.errors import PeerdistillWarning, UserError, some_of

Result = TypeVar("Result")


def find_splits(folder: Path, *, to_train: bool = True) -> dict[str, Pictures]:
    """Return the pictures of "train" and, where the folder has them apart, of "val" and "test".

    Which folders are splits and classes says :func:`peerdistill.data.layout.find_splits`.

    Raises:
        UserError: As there, and for a folder that can't be read, or a file in two classes or splits.
    """
    listing = list_folder(folder)
    layout = layout_of(listing.paths, str(folder), to_train=to_train)
    broken = sorted(listing.broken)
    links = "a link leads" if len(broken) == 1 else f"{len(broken)} links lead"
    show_notes([*layout.notes, *([f"{links} nowhere in '{folder}': {some_of(broken)}"] if broken else [])])
    splits = {name: replace(part, folder=folder / part.folder) for name, part in layout.splits.items()}
    return each_once(listing, splits)


def list_pictures(folder: Path) -> Pictures:
    """Return the pictures in the class folders of ``folder``, sorted.

    Raises:
        UserError: As :func:`find_splits`, and for a folder with splits.
    """
    splits = find_splits(folder)
    if len(splits) > 1:
        places = [f"'{part.folder}'" for part in splits.values()]
        raise UserError(f"'{folder}' holds splits: choose one of {', '.join(places)}")
    return splits["train"]


def open_listed(path: str) -> Image.Image:
    """Return a folder's picture as `open_picture` does; its error also tells how to do without the picture."""
    with _hint():
        return open_picture(path)


def listed_bytes(path: str) -> bytes:
    """Return what is in a folder's picture file, for :func:`read_listed`."""
    with _hint():
        return picture_bytes(path)


def read_listed(content: Callable[[], bytes], name: str) -> Image.Image:
    """Return a picture as :func:`open_listed` does, from what its file holds; errors call it ``name``."""
    with _hint():
        return read_picture(content(), name)


def show_notes(notes: Iterable[str]) -> None:
    """Tell the user each of the sentences."""
    for note in notes:
        warnings.warn(note, PeerdistillWarning, stacklevel=3)


def note_left_out(names: Sequence[str]) -> None:
    """Tell the user which pictures are left out since they can't be read."""
    if names:
        pictures = "1 unreadable picture is" if len(names) == 1 else f"{len(names)} unreadable pictures are"
        show_notes([f"{pictures} left out: {some_of(names, most=10)}"])


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
