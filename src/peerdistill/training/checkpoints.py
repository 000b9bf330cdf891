"""Checkpoints that remain valid if the process is killed at any moment."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from peerdistill.errors import UserError, cause
from peerdistill.files import copy_whole, drafting, publish, write_synced

# The comment at the end of the archive: a marker and the digest of all bytes that ``torch.save`` wrote.
_MARK = b"blake2b "
_DIGEST_BYTES = 16
_COMMENT_BYTES = len(_MARK) + 2 * _DIGEST_BYTES
_COMMENT_LENGTH = _COMMENT_BYTES.to_bytes(2, "little")
_NO_COMMENT = bytes(2)

# The last record of the archive, which ends with the length of the comment.
_END_BYTES = 22
_END_MARK = b"PK\x05\x06"


class Checkpoints:
    """The checkpoints of one run: ``last.pt``, the one before it, and ``best.pt``.

    A file is written under a temporary name, synced and renamed: a file with its final name is complete. From the
    first save on there is always a ``last.pt``. The checkpoint before it is kept in case the disk damages the last one.
    All of them are plain ``torch.save`` files of tensors and numbers, read with ``weights_only=True``. The comment of
    the archive is a digest of its content.

    Args:
        folder: Folder of the checkpoints. The first save creates it; its parent must exist.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.last = folder / "last.pt"
        self.previous = folder / "previous.pt"
        self.best = folder / "best.pt"

    @property
    def exist(self) -> bool:
        """Whether there is a checkpoint from which a run can be resumed."""
        return self.last.exists() or self.previous.exists()

    def save(self, state: dict[str, Any], *, best: bool = False) -> None:
        """Write ``state`` as the last checkpoint, and with ``best`` also as the best one.

        Raises:
            WriteError: The file cannot be written, for example because the disk is full. The last checkpoint is
                unchanged.
        """
        with drafting(self.last) as draft:
            self.folder.mkdir(exist_ok=True)
            write_synced(draft, lambda file: _write(state, file))
            if best:
                # Before `last` changes: a run killed in between trains this epoch again and selects it again.
                copy_whole(draft, self.best)
            if self.last.exists():
                copy_whole(self.last, self.previous)
            publish(draft, self.last)

    def save_part(self, state: dict[str, Any], file: Path) -> None:
        """Write a part of a checkpoint that has a file of its own in the folder.

        Raises:
            WriteError: The file cannot be written.
        """
        with drafting(file) as draft:
            self.folder.mkdir(exist_ok=True)
            write_synced(draft, lambda opened: _write(state, opened))
            publish(draft, file)

    def load(self, path: Path) -> dict[str, Any]:
        """Return the content of ``path``: ``last``, ``previous``, ``best`` or a part.

        Raises:
            UserError: The file is missing or damaged.
        """
        with _reading(path) as file:  # the same file throughout, even if it is replaced meanwhile
            return _read(file, path)

    def open(self, path: Path) -> dict[str, Any]:
        """Return the content of ``path`` with tensors that are read from the file when they are used.

        A program that needs the networks but not the memory bank or the optimiser state does not load these.

        Raises:
            UserError: As :meth:`load`.
        """
        while True:
            with _reading(path) as file:
                state = _mapped(file, path)
                if _is_in_place(file, path):
                    return state

    def load_last(self) -> tuple[dict[str, Any] | None, str]:
        """Return the newest valid checkpoint (None if none was written yet), and a warning if it is not the last one.

        Raises:
            UserError: All checkpoints are damaged.
        """
        if not self.exist:
            return None, ""
        try:
            return self.load(self.last), ""
        except UserError as error:
            if not self.previous.exists():
                raise UserError(f"{error}, and there is no checkpoint before it") from error
            return self.load(self.previous), f"{error}: resuming the checkpoint before it"


@contextmanager
def _reading(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError as error:
        raise UserError(f"there is no checkpoint {path}") from error
    except OSError as error:
        raise UserError(f"the checkpoint {path} cannot be read: {cause(error)}") from error


def _is_in_place(file: BinaryIO, path: Path) -> bool:
    """Return whether ``path`` is still the open file: training may have replaced it."""
    return os.path.samestat(os.fstat(file.fileno()), path.stat())


class _Sink:
    """Receives what ``torch.save`` writes, computes its digest and keeps the first error for later.

    The archive writer of PyTorch must always be able to finish: its destructor would end the process.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._error: BaseException | None = None
        self._digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)

    def write(self, data: bytes | memoryview) -> int:
        if self._error is None:
            try:
                self._file.write(data)
                self._digest.update(data)
            except BaseException as error:
                self._error = error
        return len(data)

    def flush(self) -> None:
        """Do nothing: the file is flushed and synced once, at the end."""

    def comment(self) -> bytes:
        """Return the comment for the end of the archive, or raise the error that occurred while writing."""
        if self._error is not None:
            raise self._error
        return _MARK + self._digest.hexdigest().encode()


def _write(state: dict[str, Any], file: BinaryIO) -> None:
    sink = _Sink(file)
    torch.save(state, cast(BinaryIO, sink))
    comment = sink.comment()
    file.seek(-len(_NO_COMMENT), os.SEEK_END)
    file.write(_COMMENT_LENGTH + comment)


def _read(file: BinaryIO, path: Path) -> dict[str, Any]:
    return _checked(file, path, lambda: torch.load(file, map_location="cpu", weights_only=True))


def _mapped(file: BinaryIO, path: Path) -> dict[str, Any]:
    return _checked(file, path, lambda: torch.load(path, map_location="cpu", weights_only=True, mmap=True))


def _checked(file: BinaryIO, path: Path, read: Callable[[], Any]) -> dict[str, Any]:
    try:
        _check_content(file)
        file.seek(0)
        state = read()
    except OSError:
        raise
    # For damaged bytes, zipfile, pickle and PyTorch raise almost anything: RuntimeError, UnicodeError, MemoryError, ...
    except Exception as error:
        raise UserError(f"the checkpoint {path} is damaged") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} is not a checkpoint of a run")
    return state


def _check_content(file: BinaryIO) -> None:
    """Raise BadZipFile if a byte has changed since it was written.

    Files of earlier versions have no digest: for them, the checksums of the archive are verified.
    """
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - len(_COMMENT_LENGTH) - _COMMENT_BYTES)
    file.seek(start)
    end = file.read()
    if end[-_END_BYTES:].startswith(_END_MARK) and end.endswith(_NO_COMMENT):
        with zipfile.ZipFile(file) as archive:
            if broken := archive.testzip():
                raise zipfile.BadZipFile(f"wrong checksum of {broken}")
        return
    digest = _digest_of(file, start)
    if end != _COMMENT_LENGTH + _MARK + digest.encode():
        raise zipfile.BadZipFile("wrong digest")


def _digest_of(file: BinaryIO, size: int) -> str:
    """Return the digest of the first ``size`` bytes and of the comment length at the time of writing, zero."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    file.seek(0)
    while size > 0 and (block := file.read(min(size, 2**20))):
        digest.update(block)
        size -= len(block)
    digest.update(_NO_COMMENT)
    return digest.hexdigest()
