"""List the paths below a folder. Links are followed, and each file of a class is listed once."""

import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from peerdistill.data.layout import Pictures, is_picture, is_sidecar
from peerdistill.errors import UserError, cause

# At this depth everything belongs to one class, whatever the layout: a real folder is listed only once there.
_CLASS_DEPTH = 3


@dataclass
class Listing:
    """The paths below a folder."""

    folder: Path
    paths: list[str] = field(default_factory=list)
    """Paths relative to the folder, in POSIX form; those of folders end with "/"."""
    real: dict[str, str] = field(default_factory=dict)
    """Real paths of the folders (without trailing "/") and files that are links or are reached through links."""
    has_links: bool = False
    broken: list[str] = field(default_factory=list)
    """Broken links, except those with names of pictures."""

    def real_path(self, file: str) -> str:
        """Return the real path of a file."""
        own = self.real.get(file)
        if own is not None:
            return own
        parent, _, name = file.rpartition("/")
        return f"{self._real_folder(parent)}/{name}"

    def is_linked(self, file: str) -> bool:
        """Return whether a file is a link or is reached through one."""
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
    """Relative path, without trailing "/"."""
    real: str
    above: frozenset[str]
    """The real paths of the folders that contain it."""


def list_folder(folder: Path) -> Listing:
    """Return the paths below ``folder``, without files that systems create (`is_sidecar`).

    Links are followed, except links to a folder that contains them. A folder that is reached several times within a
    class is listed once, by its own name if possible.

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
    """Add a link to a file to the listing, or yield the folder to which it leads."""
    try:
        real = os.path.realpath(entry.path, strict=True)
        is_folder = Path(real).is_dir()
    except OSError:  # the link is broken or circular
        if is_picture(entry.name):
            listing.paths.append(path)  # the error appears when the picture is read
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
        UserError: A file belongs to two classes or two splits.
    """
    if not listing.has_links:
        return splits
    owners = Owners()
    return {name: owners.once(listing, name, pictures) for name, pictures in splits.items()}


class Owners:
    """The split and class of each real file.

    Args:
        depth: Number of leading folders that make up the class in the path of a file below its split.
    """

    def __init__(self, depth: int = 1):
        self._depth = depth
        self._seen: dict[str, tuple[tuple[str, ...], Path, str]] = {}

    def once(self, listing: Listing, split: str, pictures: Pictures) -> Pictures:
        """Return the pictures of a split with each real file once.

        Raises:
            UserError: A file also belongs to another class or split.
        """
        start = pictures.folder.relative_to(listing.folder)
        paths = {file: str(start / file) for file in pictures.files}
        # Names that are not links first, so that the real name is kept.
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
                f"'{first[1] / first[2]}' and '{listing.folder / path}' are links to the same file: a picture can "
                "belong to only one class and one split"
            )
        return first == found
