"""Checkpoints that survive being killed at any moment."""

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch

from peerdistill.errors import UserError, cause
from peerdistill.files import copy_whole, drafting, publish, write_synced

# The comment at the end of the archive: a mark and the digest of all bytes that ``torch.save`` wrote.
_MARK = b"blake2b "
_DIGEST_BYTES = 16
_COMMENT_BYTES = len(_MARK) + 2 * _DIGEST_BYTES
_COMMENT_LENGTH = _COMMENT_BYTES.to_bytes(2, "little")
_NO_COMMENT = bytes(2)

# The archive's own last record, which ends with the length of the comment.
_END_BYTES = 22
_END_MARK = b"PK\x05\x06"


class Checkpoints:
    """The checkpoints of one run: ``last.pt``, the one before it, and ``best.pt``.

    A file is written under a temporary name, synced and renamed: what bears its name is whole. From the first save on
    there is always a ``last.pt``. The last but one is kept in case the disk damages the last. All of them are plain
    ``torch.save`` files of tensors and numbers, read with ``weights_only=True``; a comment of the archive holds a
    digest of its content.

    Args:
        folder: Where they lie; made when the first one is saved, inside a folder that exists.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.last = folder / "last.pt"
        self.previous = folder / "previous.pt"
        self.best = folder / "best.pt"

    def save(self, state: dict[str, Any], *, best: bool = False) -> None:
        """Write ``state`` as the last checkpoint, and as the best one too.

        Raises:
            WriteError: Where it can't be written, to a full disk for example. The last checkpoint stays what it was.
        """
        with drafting(self.last) as draft:
            self.folder.mkdir(exist_ok=True)
            write_synced(draft, lambda file: _write(state, file))
            if best:
                # Before `last` moves on: a run killed in between trains this epoch again and finds it best again.
                copy_whole(draft, self.best)
            if self.last.exists():
                copy_whole(self.last, self.previous)
            publish(draft, self.last)

    def load(self, path: Path) -> dict[str, Any]:
        """Return what was saved as ``path``, one of ``last``, ``previous`` and ``best``.

        Raises:
            UserError: Where it is missing or damaged.
        """
        try:
            with path.open("rb") as file:  # one file throughout, whatever is renamed meanwhile
                return _read(file, path)
        except FileNotFoundError as error:
            raise UserError(f"there is no checkpoint {path}") from error
        except OSError as error:
            raise UserError(f"the checkpoint {path} can't be read: {cause(error)}") from error

    def load_last(self) -> tuple[dict[str, Any] | None, str]:
        """Return the newest whole checkpoint and, where it is not the last one, a sentence that says so.

        Returns:
            None in place of the checkpoint where none was written yet.

        Raises:
            UserError: Where all that were written are damaged.
        """
        if not self.last.exists() and not self.previous.exists():
            return None, ""
        try:
            return self.load(self.last), ""
        except UserError as error:
            if not self.previous.exists():
                raise UserError(f"{error}, and there is none before it") from error
            return self.load(self.previous), f"{error}: going on from the one before it"


class _Sink:
    """Takes what ``torch.save`` writes, digests it and keeps the first error for later.

    PyTorch's archive writer must be able to finish whatever happens to the file: its destructor would end the process.
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
        """Return the comment that goes to the end of the archive, or raise what happened to the file."""
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
    try:
        _check_content(file)
        file.seek(0)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    # On damaged bytes zipfile, pickle and PyTorch raise almost anything: RuntimeError, UnicodeError, MemoryError, ...
    except Exception as error:
        raise UserError(f"the checkpoint {path} is damaged") from error
    if not isinstance(state, dict):
        raise UserError(f"{path} is no checkpoint of a run")
    return state


def _check_content(file: BinaryIO) -> None:
    """Raise BadZipFile where a byte is not as it was written.

    Files of earlier versions have no digest: of them the archive's own checksums are tested.
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
    """Return the digest of the first ``size`` bytes and of the length of the comment that was not there yet."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    file.seek(0)
    while size > 0 and (block := file.read(min(size, 2**20))):
        digest.update(block)
        size -= len(block)
    digest.update(_NO_COMMENT)
    return digest.hexdigest()
