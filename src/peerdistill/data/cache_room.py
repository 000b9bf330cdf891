"""Where caches of decoded pictures lie, and how much room all of them together may take."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO, NamedTuple

PIXELS = "pixels"
INDEX = "index"
LOCK = "lock"
"""Files of a cache, see `peerdistill.data.picture_cache`."""

_IN_USE = "in_use"
_KEPT_FREE = 5 * 2**30
"""Bytes of the disk that caches leave to others."""


def users_cache_folder() -> Path:
    """Return where caches lie whose user names no other folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "peerdistill" / "pictures"


class CacheRoom(NamedTuple):
    """A folder of caches and its bound."""

    root: Path
    most_bytes: float
    """All caches together."""

    def mark_used(self, cache: Path) -> IO[str]:
        """Note that ``cache`` is in use now, and keep it from being cleared away while the returned file is open."""
        while True:
            cache.mkdir(parents=True, exist_ok=True)
            mark = (cache / _IN_USE).open("w")
            fcntl.flock(mark, fcntl.LOCK_SH)
            if (cache / _IN_USE).exists():  # else it was just being cleared away
                os.utime(mark.fileno())
                return mark
            mark.close()

    def make(self, needed: int, cache: Path) -> bool:
        """Return whether ``cache`` may grow by so many bytes; other caches, the longest unused first, make room."""
        if _taken(cache) + needed > self.most_bytes:
            return False
        others = sorted((mark for mark in self.root.glob(f"*/{_IN_USE}") if mark.parent != cache), key=_used)
        while not self._fits(needed):
            if not others:
                return False
            _clear_away(others.pop(0))
        return True

    def _fits(self, needed: int) -> bool:
        taken = sum(_taken(mark.parent) for mark in self.root.glob(f"*/{_IN_USE}"))
        free = shutil.disk_usage(self.root).free
        return taken + needed <= self.most_bytes and free - needed >= _KEPT_FREE


def _taken(cache: Path) -> int:
    return sum(_size(cache / name) for name in (PIXELS, INDEX))


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # another process cleared it away just now
        return 0


def _used(mark: Path) -> int:
    try:
        return mark.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _clear_away(mark: Path) -> None:
    """Remove the files of a cache that nobody uses."""
    try:
        with mark.open("r") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The records first: without them the rest is nothing, whatever stops this.
            for name in (INDEX, PIXELS, LOCK, _IN_USE):
                (mark.parent / name).unlink(missing_ok=True)
            mark.parent.rmdir()
    except OSError:  # it is in use, or another process was faster
        return
