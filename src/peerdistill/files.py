"""Atomic writes, and folders that one process at a time writes to.

Every file that must survive a crash is written under a temporary name, synced to disk and renamed. Readers see the old
file or the new one, never a part. Readers ignore the temporary file that a killed process leaves behind, and the next
writer replaces it.
"""

import csv
import errno
import io
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, BinaryIO

from filelock import FileLock, Timeout

from peerdistill.errors import Failure, PeerdistillWarning, UserError, cause

try:
    import fcntl
except ImportError:  # Windows
    fcntl: Any = None

SHARD_SUFFIX = ".shard"
"""Ends the name of a file with the part of a checkpoint that belongs to one of several processes."""

WRITING = ".writing"
"""Suffix of the temporary name of a file that is being written."""

LOCK_FILE = ".lock"
"""Name of the lock file in a folder that one process writes to."""

SCRATCH = ".peerdistill-"
"""Begins the name of a temporary folder beside the file or folder that it is for."""

_IN_USE = ".in-use"

# Errors of file systems without locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}

_POLL_SECONDS = 0.001
_LONGEST_WAIT_SECONDS = 60.0


class WriteError(Failure):
    """A file could not be written. An earlier file of the same name is unchanged."""


def write_whole(path: Path, content: str | bytes, *, shared: bool = False) -> None:
    """Write a file atomically; text is encoded as UTF-8.

    Args:
        path: The file.
        content: Its new content.
        shared: Whether several processes may write the file at the same time; the last one wins.

    Raises:
        WriteError: The file can't be written, for example because the disk is full or permission is missing.
    """
    data = content.encode() if isinstance(content, str) else content
    with drafting(path, shared=shared) as draft:
        write_synced(draft, lambda file: file.write(data))
        publish(draft, path)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file atomically, in UTF-8. Bytes of file names that are not UTF-8 are written as they are.

    Raises:
        WriteError: As :func:`write_whole`.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode(errors="surrogateescape"))


def make_folder(folder: Path) -> None:
    """Create a folder and those above it, unless it exists.

    Raises:
        UserError: The folder cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder {folder} cannot be created: {cause(error)}") from error


@contextmanager
def drafting(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield the temporary name of ``path``, and remove the file of that name at the end if it still exists.

    Args:
        path: The file that is to be written.
        shared: Whether several processes may write the file at the same time; each then has its own temporary name.

    Raises:
        WriteError: In place of any OSError inside the context.
    """
    unique = f".{secrets.token_hex(8)}" if shared else ""
    draft = path.with_name(f"{path.name}{unique}{WRITING}")
    try:
        # The file that a killed process left may be a hard link to another file: create a new file, do not overwrite.
        draft.unlink(missing_ok=True)
        yield draft
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def write_error(path: Path, error: OSError) -> WriteError:
    """Return the error that says why ``path`` can't be written."""
    return WriteError(f"{path} can't be written: {cause(error)}")


def write_synced(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Create a file, let ``write`` fill it, and wait until its content is on disk."""
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def publish(draft: Path, path: Path) -> None:
    """Rename a synced file to ``path``, and wait until the rename is on disk."""
    draft.replace(path)
    sync_folder(path.parent)


def copy_whole(source: Path, target: Path) -> None:
    """Make ``target`` a copy of ``source`` atomically: a hard link where the file system supports it."""
    with drafting(target) as draft:
        try:
            os.link(source, draft)
        except OSError:
            with source.open("rb") as original:
                write_synced(draft, lambda file: shutil.copyfileobj(original, file))
        draft.replace(target)


def sync_folder(folder: Path) -> None:
    """Wait until renames in ``folder`` are on disk, where the system and its file system support this."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows can't open folders
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``file``. It excludes other processes, and other threads of this process.

    Raises:
        OSError: The file system has no locks, or on Windows, another process holds the lock for more than a minute.
    """
    if fcntl is None:
        with FileLock(file).acquire(timeout=_LONGEST_WAIT_SECONDS, poll_interval=_POLL_SECONDS):
            yield
        return
    with file.open("w") as opened:  # a tenth of the time of FileLock, and without polling
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def lock_shared(file: IO[Any]) -> None:
    """Hold a shared lock on an open file until the file is closed: :func:`remove_unused` then refuses to remove it.

    Windows refuses to remove an open file by itself.

    Raises:
        OSError: The file system has no locks.
    """
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_SH)


def remove_unused(mark: Path, files: list[Path]) -> None:
    """Remove ``files`` and ``mark``, unless a process holds a shared lock on ``mark``.

    Raises:
        OSError: The lock is held, or a file can't be removed.
    """
    if fcntl is None:
        mark.unlink()
        for file in files:
            file.unlink(missing_ok=True)
        return
    with mark.open("r") as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for file in (*files, mark):
            file.unlink(missing_ok=True)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in ``parent``, on the same disk, and remove it at the end.

    Those that killed processes left there are removed first, on POSIX systems. Those of running processes are locked.

    Raises:
        OSError: The folder can't be created.
    """
    for folder in parent.glob(f"{SCRATCH}*"):
        _remove_abandoned(folder)
    with TemporaryDirectory(prefix=SCRATCH, dir=parent) as name, (Path(name) / WRITING).open("w") as mark:
        # The mark gets its name when it is locked: another process never sees it without its lock.
        with suppress(OSError):
            lock_shared(mark)
            Path(mark.name).rename(Path(name) / _IN_USE)
        yield Path(name)


def _remove_abandoned(folder: Path) -> None:
    """Remove a scratch folder whose process has ended."""
    if fcntl is not None:
        with suppress(OSError), (folder / _IN_USE).open() as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


class HeldFolder:
    """A folder that only this process writes to, from :meth:`hold` to :meth:`release`.

    The operating system releases the lock when the process ends, for whatever reason. Some network file systems have no
    locks: a warning says so, and other processes are not excluded.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path / LOCK_FILE
        self._lock = FileLock(self._file)
        self._identity = (0, 0)

    def hold(self) -> None:
        """Lock the folder, which must exist.

        Raises:
            UserError: Another process has locked it, or it can't be written to.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(f"{self.path} is in use: another process is training there") from error
        except NotImplementedError:
            self._warn_no_locks()
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise UserError(f"{self.path} can't be written to: {cause(error)}") from error
            self._warn_no_locks()
        self._identity = _identity(self.path)

    def _warn_no_locks(self) -> None:
        warnings.warn(
            f"the file system of {self.path} has no locks: make sure that no other process trains there",
            PeerdistillWarning,
            stacklevel=3,
        )

    def release(self) -> None:
        """Unlock the folder."""
        if self._lock.is_locked:
            # Before the lock is released: a process that has opened the file meanwhile notices that it was unlinked,
            # and opens a new one.
            with suppress(OSError):
                if _identity(self.path) == self._identity:
                    self._file.unlink(missing_ok=True)
            self._lock.release()

    def check_in_place(self) -> None:
        """Raise Failure if the path does not lead to the locked folder any more."""
        try:
            found = _identity(self.path)
        except OSError as error:
            raise Failure(f"{self.path} was removed or renamed while it was written to ({cause(error)})") from error
        if found != self._identity:
            raise Failure(f"{self.path} was replaced by another folder while it was written to")


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino
