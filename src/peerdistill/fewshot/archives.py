"""Zip archives of pictures. They are read without unpacking, so no file name in them reaches the disk."""

import warnings
import zipfile
from collections import Counter
from pathlib import Path

from peerdistill.data.images.decode import MOST_BYTES, unreadable
from peerdistill.data.layout import Layout, find_splits
from peerdistill.errors import PeerdistillWarning, UserError, cause, some_of

_ENCRYPTED = 0x1


class PictureArchive:
    """An open zip archive of class folders, for use in a ``with`` statement.

    Args:
        file: The archive.

    Raises:
        UserError: It is not a zip archive, is damaged, or has names that lead out of the archive.
    """

    def __init__(self, file: Path):
        self._file = file
        try:
            self._archive = zipfile.ZipFile(file)
        except Exception as error:  # damaged directories raise almost anything
            raise UserError(f"'{file}' is not a zip archive of class folders: {cause(error)}") from error
        members = [(_path(info.filename, file), info) for info in self._archive.infolist()]
        # Of two members with the same path the later one counts, as when the archive is unpacked.
        self._members = dict(members)
        twice = sorted(path for path, times in Counter(path for path, _ in members).items() if times > 1)
        if twice:
            text = f"'{file}' has several members with the same name, the last one is used: {some_of(twice)}"
            warnings.warn(text, PeerdistillWarning, stacklevel=2)

    def __enter__(self) -> "PictureArchive":
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def layout(self) -> Layout:
        """Return the class and the split of each picture.

        Raises:
            UserError: As :func:`peerdistill.data.layout.find_splits`.
        """
        return find_splits(self._members, str(self._file))

    def content(self, path: str) -> bytes:
        """Return the content of the picture file ``path``.

        Raises:
            UserError: It is damaged, encrypted, too large, or compressed by a method that Python does not support.
        """
        name, info = self.shown(path), self._members[path]
        if info.flag_bits & _ENCRYPTED:
            raise unreadable(name, "it is encrypted")
        try:
            with self._archive.open(info) as opened:
                content = opened.read(MOST_BYTES + 1)
        except Exception as error:  # as above
            raise unreadable(name, cause(error)) from error
        if len(content) > MOST_BYTES:
            raise unreadable(name, f"it has more than {MOST_BYTES} bytes, the limit")
        return content

    def shown(self, path: str) -> str:
        """Return the name of a member for error messages."""
        return f"{self._file}/{path}"


def _path(name: str, file: Path) -> str:
    """Return the name of a member as a path; some programs write "\\" for "/", or a leading "./" or "/"."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise UserError(f"'{file}' has a member '{name[:200]}': names must not lead out of the archive")
    return "/".join(parts) + ("/" if name.endswith(("/", "\\")) else "")
