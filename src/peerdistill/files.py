"""Files that are absent, as they were, or complete, and folders that one process at a time writes to.

Every file that must survive a crash is written under a temporary name, synced and renamed. What a killed process
leaves under a temporary name is ignored by all readers and replaced by the next writer.
"""

import errno
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from peerdistill.errors import Failure, PeerdistillWarning, UserError

WRITING = ".writing"
"""End of the name of a file that is being written."""

LOCK_FILE = ".lock"
"""The file in a folder by which a process holds the folder."""

# What file systems without locks answer.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class WriteError(Failure):
    """A file could not be written. What bore its name before still does."""


def write_whole(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        WriteError: For a full disk, a folder without permission or anything else of the kind.
    """
    with drafting(path) as draft:
        write_synced(draft, lambda file: file.write(text.encode()))
        publish(draft, path)


@contextmanager
def drafting(path: Path) -> Iterator[Path]:
    """Yield the temporary name of ``path``; a file that still bears it at the end is removed.

    Raises:
        WriteError: In place of any OSError.
    """
    draft = path.with_name(path.name + WRITING)
    try:
        # What a killed process left may be another file under a second name: a new file, not new content.
        draft.unlink(missing_ok=True)
        yield draft
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_error(path: Path, error: OSError) -> WriteError:
    """Return the error that says in a sentence why ``path`` can't be written."""
    return WriteError(f"{path} can't be written: {reason(error)}")


def reason(error: OSError) -> str:
    """Return the reason of an error of the operating system, without the file's name."""
    return (error.strerror or str(error)).lower()


def write_synced(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Make a new file and wait until its content is on disk."""
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def publish(draft: Path, path: Path) -> None:
    """Let a synced file take the place of ``path``, and wait until the name is on disk."""
    draft.replace(path)
    sync_folder(path.parent)


def copy_whole(source: Path, target: Path) -> None:
    """Let ``target`` be what ``source`` is now: by a second name where the file system has links, else by a copy."""
    with drafting(target) as draft:
        try:
            os.link(source, draft)
        except OSError:
            with source.open("rb") as original:
                write_synced(draft, lambda file: shutil.copyfileobj(original, file))
        draft.replace(target)


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


class HeldFolder:
    """A folder that this process alone writes to, from :meth:`hold` to :meth:`release`.

    The lock belongs to the operating system: it ends with its process, however that ends. Where the file system has no
    locks, as some network file systems, a note says so and nobody is kept out.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path / LOCK_FILE
        self._lock = FileLock(self._file)
        self._identity = (0, 0)

    def hold(self) -> None:
        """Hold the folder, which must exist.

        Raises:
            UserError: Where another process holds it.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(f"{self.path} is in use: another process is training there") from error
        except NotImplementedError:
            self._note_no_locks()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise UserError(f"{self.path} can't be written to: {reason(error)}") from error
            self._note_no_locks()
        self._identity = _identity(self.path)

    def _note_no_locks(self) -> None:
        warnings.warn(
            f"the file system of {self.path} has no locks: make sure that no other process trains there",
            PeerdistillWarning,
            stacklevel=3,
        )

    def release(self) -> None:
        """Let others hold it."""
        if self._lock.is_locked:
            # While it is held: whoever opened it meanwhile sees that it has no name any more, and opens another one.
            with suppress(OSError):
                if _identity(self.path) == self._identity:
                    self._file.unlink(missing_ok=True)
            self._lock.release()

    def check_in_place(self) -> None:
        """Raise Failure where the path does not lead to the held folder any more."""
        try:
            found = _identity(self.path)
        except OSError as error:
            raise Failure(f"{self.path} was removed or renamed while it was written to ({reason(error)})") from error
        if found != self._identity:
            raise Failure(f"{self.path} was replaced by another folder while it was written to")


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
