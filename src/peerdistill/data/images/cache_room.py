"""The location of picture caches, and the limit on their total size."""

import os
import shutil
from pathlib import Path
from typing import IO, NamedTuple

from platformdirs import user_cache_path

from peerdistill.files import lock_shared, remove_unused

PIXELS = "pixels"
INDEX = "index"
LOCK = "lock"
"""Files of a cache, see `peerdistill.data.images.picture_cache`."""

_IN_USE = "in_use"
_KEPT_FREE = 5 * 2**30
"""Bytes of the disk that caches leave free."""


def users_cache_folder() -> Path:
    """Return the folder of caches for users who name no other one.

    Raises:
        RuntimeError: The user has no home folder.
    """
    folder = user_cache_path("peerdistill", appauthor=False)
    if not folder.is_absolute():
        raise RuntimeError("the home folder is not known")
    return folder / "pictures"


class CacheRoom(NamedTuple):
    """A folder of caches, with the limit on their total size."""

    root: Path
    most_bytes: float
    """Limit for all caches together."""

    def mark_used(self, cache: Path) -> IO[str]:
        """Record that ``cache`` is in use now. Until the returned file is closed, the cache is not removed."""
        while True:
            cache.mkdir(parents=True, exist_ok=True)
            mark = (cache / _IN_USE).open("w")
            lock_shared(mark)
            if (cache / _IN_USE).exists():  # otherwise another process has just removed the cache
                os.utime(cache / _IN_USE)
                return mark
            mark.close()

    def make(self, needed: int, cache: Path) -> bool:
        """Return whether ``cache`` may grow by ``needed`` bytes; remove the least recently used other caches for it."""
        if _taken(cache) + needed > self.most_bytes:
            return False
        others = sorted((mark for mark in self.root.glob(f"*/{_IN_USE}") if mark.parent != cache), key=_used)
        while not self._fits(needed):
            if not others:
                return False
            _remove(others.pop(0))
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
    except FileNotFoundError:  # another process has just removed it
        return 0


def _used(mark: Path) -> int:
    try:
        return mark.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _remove(mark: Path) -> None:
    """Remove the files of a cache, unless it is in use."""
    cache = mark.parent
    try:
        # The index first: if this is interrupted, the remaining files are ignored.
        remove_unused(mark, [cache / name for name in (INDEX, PIXELS, LOCK)])
        cache.rmdir()
    except OSError:  # it is in use, or another process has removed it
        return
