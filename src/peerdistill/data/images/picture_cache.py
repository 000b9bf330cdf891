"""Preprocessed pictures on disk, shared between epochs, runs and processes, and indexed by a digest of their file.

A cache is a folder with ``pixels`` (the bytes of all pictures, read through a memory map) and ``index`` (a record of
fixed size per picture: digest, offset, height, width, checksums). Bytes are only ever appended, so a writer does not
change what a reader sees. A picture exists once its record is complete: a process that is killed leaves at most some
bytes without a record. Checksums are verified on reading: a damaged picture is treated as absent.
"""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from peerdistill.data.images.cache_room import INDEX, LOCK, PIXELS, CacheRoom
from peerdistill.data.images.preprocess import Pixels
from peerdistill.errors import PeerdistillWarning, cause
from peerdistill.files import locked

KEY_BYTES = 16

_WORD = 8
# In native byte order: a cache is used only on the machine that wrote it.
_RECORD = np.dtype(
    [
        ("key", f"V{KEY_BYTES}"),
        ("offset", "u8"),
        ("height", "u4"),
        ("width", "u4"),
        ("pixels_sum", "u8"),
        ("record_sum", "u8"),
    ]
)
# Added to the sum of a record's words, so that a record of zeros is invalid.
_RECORD_SALT = np.uint64(0x9E3779B97F4A7C15)


class _Place(NamedTuple):
    offset: int
    height: int
    width: int
    pixels_sum: int


class PictureCache:
    """A cache of pictures with the same preprocessing. Threads and processes may share it.

    The cache never raises an error: if it can't be read or written, it warns once and behaves as an empty cache.

    Args:
        folder: The folder of this cache; created if it does not exist.
        channels: Number of channels of every picture.
        room: The limit on the size of all caches.
    """

    def __init__(self, folder: Path, channels: int, room: CacheRoom):
        self._folder = folder
        self._channels = channels
        self._room = room
        self._places: dict[bytes, _Place] = {}
        self._records_read = 0
        self._bytes = np.empty(0, dtype=np.uint8)
        self._reading = threading.Lock()
        self._warned: set[str] = set()
        self._is_full = False
        self._may_read = self._may_write = self._succeeds(self._open)

    def __reduce__(self) -> tuple[type, tuple[Path, int, CacheRoom]]:
        """Pickle as the arguments, so that a spawned process opens the cache itself."""
        return PictureCache, (self._folder, self._channels, self._room)

    def get(self, key: bytes) -> Pixels | None:
        """Return the pixels that were added under ``key``, or None. Do not write to them."""
        if not self._may_read:
            return None
        if key not in self._places:
            self._may_read = self._succeeds(self._read_new_records)
        place = self._places.get(key)
        return None if place is None else self._checked_pixels(key, place)

    def add(self, key: bytes, pixels: Pixels) -> None:
        """Add ``pixels`` if there is room; ``key`` is the digest of the picture file."""
        if self._may_write and not self._is_full:
            self._may_write = self._succeeds(lambda: self._add(key, pixels))

    def _open(self) -> None:
        self._in_use = self._room.mark_used(self._folder)
        for name in (PIXELS, INDEX):
            (self._folder / name).touch()
        self._read_new_records()

    def _succeeds(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except OSError as error:
            self._warn_once(f"can't be used: {cause(error)}")
            return False
        return True

    def _warn_once(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            warnings.warn(f"the cache of decoded pictures in '{self._folder}' {what}", PeerdistillWarning, stacklevel=4)

    def _read_new_records(self) -> None:
        with self._reading:
            start = self._records_read * _RECORD.itemsize
            records = np.fromfile(self._folder / INDEX, dtype=_RECORD, offset=start)
            if len(records) == 0:
                return
            self._records_read += len(records)
            if (self._folder / PIXELS).stat().st_size:
                self._bytes = np.asarray(np.memmap(self._folder / PIXELS, dtype=np.uint8, mode="r"))
            ends = records["offset"] + _padded(records["height"].astype(np.uint64) * records["width"] * self._channels)
            is_whole = (_record_sums(records) == records["record_sum"]) & (ends <= len(self._bytes))
            if not is_whole.all():
                self._warn_damage()
            # The later of two records of a picture counts: it was written because the first was damaged.
            for key, *place, _ in records[is_whole].tolist():
                self._places[key] = _Place(*place)

    def _warn_damage(self) -> None:
        self._warn_once("is partly damaged: the damaged pictures are decoded and cached again")

    def _checked_pixels(self, key: bytes, place: _Place) -> Pixels | None:
        size = place.height * place.width * self._channels
        kept = self._bytes[place.offset : place.offset + _padded(size)]
        if len(kept) < _padded(size) or _sum(kept) != place.pixels_sum:
            self._warn_damage()
            self._places.pop(key, None)
            return None
        return kept[:size].reshape(place.height, place.width, self._channels)

    def _add(self, key: bytes, pixels: Pixels) -> None:
        height, width, _ = pixels.shape
        padded = np.zeros(_padded(pixels.size), dtype=np.uint8)
        padded[: pixels.size] = pixels.reshape(-1)
        with locked(self._folder / LOCK):
            self._read_new_records()
            if key in self._places:  # another process or thread has added it
                return
            if not self._room.make(len(padded) + _RECORD.itemsize, self._folder):
                self._is_full = True
                self._warn_once("is full: further pictures are decoded in every epoch")
                return
            # At a word boundary, after any bytes that a killed process left.
            offset = _padded((self._folder / PIXELS).stat().st_size)
            record = np.zeros(1, dtype=_RECORD)
            record[0] = (key, offset, height, width, _sum(padded), 0)
            record["record_sum"] = _record_sums(record)
            _write_at(self._folder / PIXELS, offset, padded)
            # Over an incomplete record, if there is one.
            _write_at(self._folder / INDEX, self._records_read * _RECORD.itemsize, record)


def _padded(size: Any) -> Any:
    """Return ``size``, a number of bytes or an array of them, rounded up to whole words."""
    return (size + _WORD - 1) // _WORD * _WORD


def _sum(padded: UInt8[np.ndarray, " bytes"]) -> int:
    """Return the sum of all words modulo 2^64, a checksum at the speed of memory."""
    return int(padded.view(np.uint64).sum(dtype=np.uint64))


def _record_sums(records: np.ndarray) -> np.ndarray:
    words = records.view(np.uint64).reshape(len(records), -1)
    return words[:, :-1].sum(axis=1, dtype=np.uint64) + _RECORD_SALT


def _write_at(file: Path, offset: int, array: np.ndarray) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(array.tobytes())
