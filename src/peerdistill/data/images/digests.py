"""Digests of file contents, remembered between runs so that unchanged files are not read at every start.

A file counts as unchanged if its device, inode, size, modification time and inode change time are the same. The kernel
sets the inode change time whenever a file is written or replaced, and no program can set it. A copied folder is read
once; its digests are those of the original.
"""

import hashlib
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8

from peerdistill.files import WriteError, write_whole

DIGEST_BYTES = 16

_RECORD = np.dtype([("stamp", f"V{DIGEST_BYTES}"), ("digest", f"V{DIGEST_BYTES}")])
# A file may be written twice within the resolution of the file system's clock, without a new time.
_CLOCK_RESOLUTION_NS = 2 * 10**9


def digest_of(content: bytes) -> bytes:
    """Return the digest of a file's content."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class Stamp(NamedTuple):
    """What changes whenever a file does, without reading it."""

    key: bytes
    """A digest of the metadata; empty if there is no such file."""
    is_old: bool
    """Whether the times of the file are old enough to show later changes."""


class KnownDigests:
    """Digests of the files that were read without an error, by their file system metadata. Safe to use from threads.

    Args:
        file: The file that keeps them between runs; None: they are not kept. A file that is damaged or can't be read is
            treated as absent.
        stamp: Returns the stamp of the picture with a path; by default that of the file.
    """

    def __init__(self, file: Path | None, stamp: Callable[[str], Stamp] | None = None):
        self._file = file
        self._stamp = file_stamp if stamp is None else stamp
        self._before = {} if file is None else _read(file)
        self._now: dict[bytes, bytes] = {}
        self._adding = threading.Lock()

    def digest(self, path: str, read: Callable[[str], bytes]) -> bytes:
        """Return the digest of a file: the known one, otherwise the result of ``read(path)``."""
        stamp, is_old = self._stamp(path)
        known = self._before.get(stamp)
        digest = read(path) if known is None else known
        if is_old and self._stamp(path).key == stamp:
            with self._adding:
                self._now[stamp] = digest
        return digest

    def keep(self) -> None:
        """Write the digests of the files requested so far; errors are ignored."""
        if self._file is None or self._now.keys() == self._before.keys():
            return
        records = np.array(list(self._now.items()), dtype=_RECORD).tobytes()
        with suppress(OSError, WriteError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, records + digest_of(records), shared=True)


def file_stamp(path: str) -> Stamp:
    """Return the stamp of a file."""
    try:
        found = Path(path).stat()
    except OSError:
        return Stamp(b"", is_old=False)
    if not stat.S_ISREG(found.st_mode):
        return Stamp(b"", is_old=False)
    metadata = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    latest = max(found.st_mtime_ns, found.st_ctime_ns)
    return Stamp(digest_of(repr(metadata).encode()), latest < time.time_ns() - _CLOCK_RESOLUTION_NS)


def member_stamp(container: str, member: str) -> Stamp:
    """Return the stamp of a picture in a file that contains many."""
    outer = file_stamp(container)
    return Stamp(digest_of(outer.key + member.encode("utf-8", "surrogatepass")), outer.is_old)


def _read(file: Path) -> dict[bytes, bytes]:
    try:
        content = file.read_bytes()
    except OSError:
        return {}
    records, end = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if digest_of(records) != end or len(records) % _RECORD.itemsize:
        return {}
    return dict(np.frombuffer(records, dtype=_RECORD).tolist())


def as_integers(digests: UInt8[np.ndarray, "files digest"]) -> Int64[np.ndarray, " files"]:
    """Return 64 bits of each digest: eight bytes a file, because there may be millions."""
    return np.ascontiguousarray(digests[:, :8]).view("<i8").astype(np.int64).ravel()


def as_rows(digests: list[bytes]) -> UInt8[np.ndarray, "files digest"]:
    """Return digests as an array, one row each."""
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), DIGEST_BYTES)
