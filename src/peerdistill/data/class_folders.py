"""Find the pictures of class folders on disk. Free of PyTorch."""

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from peerdistill.data.layout import Pictures
from peerdistill.data.layout import find_splits as layout_of
from peerdistill.data.listing import each_once, list_folder
from peerdistill.errors import PeerdistillWarning, UserError, some_of


def find_splits(folder: Path, *, to_train: bool = True) -> dict[str, Pictures]:
    """Return the pictures of "train" and, if the folder has such splits, of "val" and "test".

    :func:`peerdistill.data.layout.find_splits` decides which folders are splits and which are classes.

    Raises:
        UserError: As there. Also if a folder can't be read, or a file belongs to two classes or splits.
    """
    listing = list_folder(folder)
    layout = layout_of(listing.paths, str(folder), to_train=to_train)
    warn_each(layout.notes)
    if listing.broken:
        count = "1 broken link" if len(listing.broken) == 1 else f"{len(listing.broken)} broken links"
        warn_each([f"{count} in '{folder}': {some_of(sorted(listing.broken))}"])
    splits = {name: replace(part, folder=folder / part.folder) for name, part in layout.splits.items()}
    return each_once(listing, splits)


def list_pictures(folder: Path) -> Pictures:
    """Return the pictures in the class folders of ``folder``, sorted.

    Raises:
        UserError: As :func:`find_splits`. Also if the folder has splits.
    """
    splits = find_splits(folder)
    if len(splits) > 1:
        places = [f"'{part.folder}'" for part in splits.values()]
        raise UserError(f"'{folder}' has splits: choose one of {', '.join(places)}")
    return splits["train"]


def warn_each(sentences: Iterable[str]) -> None:
    """Issue a warning for each sentence."""
    for sentence in sentences:
        warnings.warn(sentence, PeerdistillWarning, stacklevel=3)
