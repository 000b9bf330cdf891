"""Digests of files' contents, and what is remembered of them so that files that stay are not read at every start.

A file counts as the one that was read before when its device, inode, size and both of its times are the same. Whoever
writes to a file or puts another one in its place changes the time of its inode, which nobody can set. A copy of a
folder is read anew, once, and has the same digests.
"""

import hashlib
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

DIGEST_BYTES = 16

_RECORD = np.dtype([("stamp", f"V{DIGEST_BYTES}"), ("digest", f"V{DIGEST_BYTES}")])
# A file that was written within the grain of the file system's clock may be written again without a new time.
_GRAIN_NS = 2 * 10**9


def digest_of(content: bytes) -> bytes:
    """Return the digest of a file's content."""
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


class KnownDigests:
    """Digests of the files that were read without an error, by what the file system says of each; threads may share it.

    Args:
        file: Where they are kept between runs; None: they are not. What can't be read or is damaged is as if absent.
    """

    def __init__(self, file: Path | None):
        self._file = file
        self._before = {} if file is None else _read(file)
        self._now: dict[bytes, bytes] = {}
        self._adding = threading.Lock()

    def digest(self, path: str, read: Callable[[str], bytes]) -> bytes:
        """Return the digest of a file: as it is known, else what ``read`` returns for its path."""
        stamp, is_old = _stamp(path)
        known = self._before.get(stamp)
        digest = read(path) if known is None else known
        if is_old and _stamp(path)[0] == stamp:
            with self._adding:
                self._now[stamp] = digest
        return digest

    def keep(self) -> None:
        """Write down the digests of the files that were asked for, if possible."""
        if self._file is None or self._now.keys() == self._before.keys():
            return
        records = np.array(list(self._now.items()), dtype=_RECORD).tobytes()
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._file.parent, prefix=".digests")
            try:
                with os.fdopen(descriptor, "wb") as opened:
                    opened.write(records + digest_of(records))
                Path(name).replace(self._file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise


def _stamp(path: str) -> tuple[bytes, bool]:
    """Return a digest of what the file system says of a file, and whether its times are old enough to tell changes."""
    try:
        found = Path(path).stat()
    except OSError:
        return b"", False
    if not stat.S_ISREG(found.st_mode):
        return b"", False
    told = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    latest = max(found.st_mtime_ns, found.st_ctime_ns)
    return digest_of(repr(told).encode()), latest < time.time_ns() - _GRAIN_NS


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
    """Return digests as an array."""
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(len(digests), DIGEST_BYTES)
