"""The paths below a folder, links followed, each real file of a class once."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from peerdistill.data.layout import Pictures, is_picture, is_sidecar
from peerdistill.errors import UserError, cause

# Below so many folders all is of one class, whatever the layout: a real folder is listed once there.
_CLASS_DEPTH = 3


@dataclass
class Listing:
    """What is below a folder."""

    folder: Path
    paths: list[str] = field(default_factory=list)
    """Relative to the folder, in POSIX form; those of folders end with "/"."""
    real: dict[str, str] = field(default_factory=dict)
    """The real path of a folder (without "/" at its end) or file to which, or through which, a link leads."""
    has_links: bool = False
    broken: list[str] = field(default_factory=list)
    """Links that lead nowhere and are not called as pictures."""

    def real_path(self, file: str) -> str:
        """Return where a file really is."""
        own = self.real.get(file)
        if own is not None:
            return own
        parent, _, name = file.rpartition("/")
        return f"{self._real_folder(parent)}/{name}"

    def is_linked(self, file: str) -> bool:
        """Tell whether a file is a link or is reached by one."""
        return self.real_path(file) != f"{self.real['']}/{file}"

    def _real_folder(self, folder: str) -> str:
        real = self.real.get(folder)
        if real is None:
            parent, _, name = folder.rpartition("/")
            real = f"{self._real_folder(parent)}/{name}"
            self.real[folder] = real
        return real


class _Place(NamedTuple):
    path: str
    """Relative, without "/" at its end."""
    real: str
    above: frozenset[str]
    """The real paths of the folders in which it is."""


def list_folder(folder: Path) -> Listing:
    """Return what is below ``folder``, without what systems leave there (`is_sidecar`).

    Links are followed, but for those to a folder in which they are. Of a folder that is met several times in
    one class, its own name or else the first counts.

    Raises:
        UserError: A folder can't be read.
    """
    listing = Listing(folder)
    start = os.path.realpath(folder)
    listing.real[""] = start
    visited: set[tuple[tuple[str, ...], str]] = set()
    places, linked = deque([_Place("", start, frozenset())]), deque()
    while places or linked:
        place = places.pop() if places else linked.popleft()
        names = tuple(place.path.split("/"))
        if len(names) > _CLASS_DEPTH:
            mark = (names[:_CLASS_DEPTH], place.real)
            if mark in visited:
                continue
            visited.add(mark)
        if place.path:
            listing.paths.append(f"{place.path}/")
        above = place.above | {place.real}
        for entry in _entries(folder, place):
            path = f"{place.path}/{entry.name}" if place.path else entry.name
            if entry.is_symlink():
                listing.has_links = True
                linked.extend(_followed(listing, path, entry, above))
            elif entry.is_dir(follow_symlinks=False):
                places.append(_Place(path, f"{place.real}/{entry.name}", above))
            else:
                listing.paths.append(path)
    return listing


def _entries(folder: Path, place: _Place) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place.real) as entries:
            return [entry for entry in entries if not is_sidecar(entry.name)]
    except OSError as error:
        raise UserError(f"cannot read folder '{folder / place.path}': {cause(error)}") from error


def _followed(listing: Listing, path: str, entry: os.DirEntry[str], above: frozenset[str]) -> Iterator[_Place]:
    """List a link to a file, or yield the folder to which it leads."""
    try:
        real = os.path.realpath(entry.path, strict=True)
        is_folder = Path(real).is_dir()
    except OSError:  # it leads nowhere, or in a circle
        if is_picture(entry.name):
            listing.paths.append(path)  # whoever reads it says what is wrong
        else:
            listing.broken.append(path)
        return
    if not is_folder:
        listing.real[path] = real
        listing.paths.append(path)
    elif not any(one == real or one.startswith(f"{real.rstrip('/')}/") for one in above):
        listing.real[path] = real
        yield _Place(path, real, above)


def each_once(listing: Listing, splits: dict[str, Pictures]) -> dict[str, Pictures]:
    """Return the splits with each real file once.

    Raises:
        UserError: A file is in two classes or two splits.
    """
    if not listing.has_links:
        return splits
    owners = Owners()
    return {name: owners.once(listing, name, pictures) for name, pictures in splits.items()}


class Owners:
    """Which class of which split each real file is of.

    Args:
        depth: Names that make a class in the path of a file below the folder of its split.
    """

    def __init__(self, depth: int = 1):
        self._depth = depth
        self._seen: dict[str, tuple[tuple[str, ...], Path, str]] = {}

    def once(self, listing: Listing, split: str, pictures: Pictures) -> Pictures:
        """Return pictures of a split with each real file once.

        Raises:
            UserError: A file is in another class or split as well.
        """
        start = pictures.folder.relative_to(listing.folder)
        paths = {file: str(start / file) for file in pictures.files}
        # Names that are no links first: of several the real one stays.
        order = sorted(pictures.files, key=lambda file: (listing.is_linked(paths[file]), file))
        kept = {file for file in order if self._is_first(listing, paths[file], (split, *self._class_of(file)))}
        return replace(pictures, files=tuple(file for file in pictures.files if file in kept))

    def _class_of(self, file: str) -> list[str]:
        return file.split("/")[: self._depth]

    def _is_first(self, listing: Listing, path: str, owner: tuple[str, ...]) -> bool:
        found = (owner, listing.folder, path)
        first = self._seen.setdefault(listing.real_path(path), found)
        if first[0] != owner:
            raise UserError(
                f"'{first[1] / first[2]}' and '{listing.folder / path}' are links to the same file: a picture can only "
                "be of one class and in one split"
            )
        return first == found
