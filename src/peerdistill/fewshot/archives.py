"""Zip archives of pictures. They are never unpacked, so no name in them reaches the disk."""

import warnings
import zipfile
from collections import Counter
from pathlib import Path

from peerdistill.data.images.decode import MOST_BYTES, unreadable
from peerdistill.data.layout import Layout, find_splits
from peerdistill.errors import PeerdistillWarning, UserError, some_of

_ENCRYPTED = 0x1


class PictureArchive:
    """A zip archive of class folders, open; to be used in a ``with`` statement.

    Raises:
        UserError: It is no zip archive, damaged as a whole, or has names that lead out of it.
    """

    def __init__(self, file: Path):
        self._file = file
        try:
            self._archive = zipfile.ZipFile(file)
        except Exception as error:  # damaged directories raise almost anything
            raise UserError(f"'{file}' is no zip archive of class folders: {_reason(error)}") from error
        members = [(_path(info.filename, file), info) for info in self._archive.infolist()]
        # By its path: where two members have one path the later counts, as it does when the archive is unpacked.
        self._members = dict(members)
        twice = sorted(path for path, times in Counter(path for path, _ in members).items() if times > 1)
        if twice:
            text = f"'{file}' holds some members more than once, the last ones count: {some_of(twice)}"
            warnings.warn(text, PeerdistillWarning, stacklevel=2)

    def __enter__(self) -> "PictureArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def layout(self) -> Layout:
        """Return which members are pictures of which class and split.

        Raises:
            UserError: As :func:`peerdistill.data.layout.find_splits`.
        """
        return find_splits(self._members, str(self._file))

    def content(self, path: str) -> bytes:
        """Return what is in the picture file ``path``.

        Raises:
            UserError: It is damaged, encrypted, packed by a method that Python lacks, or too large.
        """
        name, info = self.shown(path), self._members[path]
        if info.flag_bits & _ENCRYPTED:
            raise unreadable(name, "it is encrypted")
        try:
            with self._archive.open(info) as opened:
                content = opened.read(MOST_BYTES + 1)
        except Exception as error:  # as above
            raise unreadable(name, _reason(error)) from error
        if len(content) > MOST_BYTES:
            raise unreadable(name, f"it has more than {MOST_BYTES} bytes, which are the most that are read")
        return content

    def shown(self, path: str) -> str:
        """Return what errors call a member."""
        return f"{self._file}/{path}"


def _path(name: str, file: Path) -> str:
    """Return a member's name as a path: some programs write "\\" for "/", or begin with "./" or "/"."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UserError(f"'{file}' holds a member '{name[:200]}': names in an archive must not lead out of it")
    return "/".join(parts) + ("/" if name.endswith(("/", "\\")) else "")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split())[:150] or type(error).__name__
