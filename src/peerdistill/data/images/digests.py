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

import numpy as np
from jaxtyping import UInt8

from peerdistill.files import WriteError, write_whole

DIGEST_BYTES = 16

_RECORD = np.dtype([("stamp", f"V{DIGEST_BYTES}"), ("digest", f"V{DIGEST_BYTES}")])
# A file may be written twice within the resolution of the file system's clock, without a new time.
_CLOCK_RESOLUTION_NS = 2 * 10**9


def digest_of(content: bytes) -> bytes:
    """Return the digest of a file's content."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class KnownDigests:
    """Digests of the files that were read without an error, by their file system metadata. Safe to use from threads.

    Args:
        file: The file that keeps them between runs; None: they are not kept. A file that is damaged or can't be read is
            treated as absent.
    """

    def __init__(self, file: Path | None):
        self._file = file
        self._before = {} if file is None else _read(file)
        self._now: dict[bytes, bytes] = {}
        self._adding = threading.Lock()

    def digest(self, path: str, read: Callable[[str], bytes]) -> bytes:
        """Return the digest of a file: the known one, otherwise the result of ``read(path)``."""
        stamp, is_old = _stamp(path)
        known = self._before.get(stamp)
        digest = read(path) if known is None else known
        if is_old and _stamp(path)[0] == stamp:
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


def _stamp(path: str) -> tuple[bytes, bool]:
    """Return a digest of a file's metadata, and whether its times are old enough to show later changes."""
    try:
        found = Path(path).stat()
    except OSError:
        return b"", False
    if not stat.S_ISREG(found.st_mode):
        return b"", False
    metadata = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    latest = max(found.st_mtime_ns, found.st_ctime_ns)
    return digest_of(repr(metadata).encode()), latest < time.time_ns() - _CLOCK_RESOLUTION_NS


def _read(file: Path) -> dict[bytes, bytes]:
    try:
        content = file.read_bytes()
    except OSError:
        return {}
    records, end = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
    if digest_of(records) != end or len(records) % _RECORD.itemsize:
        return {}
    return dict(np.frombuffer(records, dtype=_RECORD).tolist())


def as_rows(digests: list[bytes]) -> UInt8[np.ndarray, "files digest"]:
    """Return digests as an array, one row each."""
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), DIGEST_BYTES)
