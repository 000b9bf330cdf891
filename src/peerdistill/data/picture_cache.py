"""Pixels kept on disk between epochs and between runs, found again by a digest of what they were made of.

A cache is a folder with ``pixels`` (the bytes of all pictures one after the other, read through a memory map) and
``index`` (a record of fixed size for each: digest, place, extent, checksum). A picture counts from the moment in which
its record is whole: a process that is killed leaves at most bytes that no record speaks of. Bytes are only ever
appended, so what one process reads no other one changes. Whatever is read is checked first: a damaged picture is only
one that is not there.
"""

import fcntl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from peerdistill.data.cache_room import INDEX, LOCK, PIXELS, CacheRoom
from peerdistill.errors import PeerdistillWarning
from peerdistill.files import reason

KEY_BYTES = 16

_WORD = 8
# Written as it lies in memory: a cache stays on the machine that made it.
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
# Added to the sum of a record's words: a record of nothing but zeros is none.
_RECORD_SALT = np.uint64(0x9E3779B97F4A7C15)

Pixels = UInt8[np.ndarray, "height width channels"]


class _Place(NamedTuple):
    offset: int
    height: int
    width: int
    pixels_sum: int


class PictureCache:
    """Pictures of one kind; threads and processes may share it.

    A cache stops nobody: where it can't be written or read a note says so, once, and nothing is found in it.

    Args:
        folder: Its own; made where it is absent.
        channels: Of all its pictures.
        room: What bounds it.
    """

    def __init__(self, folder: Path, channels: int, room: CacheRoom):
        self._folder = folder
        self._channels = channels
        self._room = room
        self._places: dict[bytes, _Place] = {}
        self._records_read = 0
        self._bytes = np.empty(0, dtype=np.uint8)
        self._reading = threading.Lock()
        self._told: set[str] = set()
        self._is_full = False
        self._may_read = self._may_write = self._succeeds(self._open)

    def __reduce__(self) -> tuple[type, tuple[Path, int, CacheRoom]]:
        """Let a process that is not forked open the cache for itself."""
        return PictureCache, (self._folder, self._channels, self._room)

    def get(self, key: bytes) -> Pixels | None:
        """Return the pixels (not to be written to) that were added under ``key``, None where there are none."""
        if not self._may_read:
            return None
        if key not in self._places:
            self._may_read = self._succeeds(self._read_new_records)
        place = self._places.get(key)
        return None if place is None else self._checked_pixels(key, place)

    def add(self, key: bytes, pixels: Pixels) -> None:
        """Keep ``pixels`` where there is room; ``key`` is the digest of what they were made of."""
        if self._may_write and not self._is_full:
            self._may_write = self._succeeds(lambda: self._add(key, pixels))

    def _open(self) -> None:
        self._in_use = self._room.mark_used(self._folder)
        for name in (PIXELS, INDEX, LOCK):
            (self._folder / name).touch()
        self._read_new_records()

    def _succeeds(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except OSError as error:
            self._tell(f"can't be used: {reason(error)}")
            return False
        return True

    def _tell(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
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
                self._tell_damage()
            # Of two records of one picture the later one counts: it was written because the first was damaged.
            for key, *place, _ in records[is_whole].tolist():
                self._places[key] = _Place(*place)

    def _tell_damage(self) -> None:
        self._tell("is damaged in part: what is lost is decoded and kept again")

    def _checked_pixels(self, key: bytes, place: _Place) -> Pixels | None:
        size = place.height * place.width * self._channels
        kept = self._bytes[place.offset : place.offset + _padded(size)]
        if len(kept) < _padded(size) or _sum(kept) != place.pixels_sum:
            self._tell_damage()
            self._places.pop(key, None)
            return None
        return kept[:size].reshape(place.height, place.width, self._channels)

    def _add(self, key: bytes, pixels: Pixels) -> None:
        height, width, _ = pixels.shape
        kept = np.zeros(_padded(pixels.size), dtype=np.uint8)
        kept[: pixels.size] = pixels.reshape(-1)
        with self._locked():
            self._read_new_records()
            if key in self._places:  # another process or thread was faster
                return
            if not self._room.make(len(kept) + _RECORD.itemsize, self._folder):
                self._is_full = True
                self._tell("is full: further pictures are decoded whenever they are needed")
                return
            # From a whole word on, whatever a killed process left behind.
            offset = _padded((self._folder / PIXELS).stat().st_size)
            record = np.zeros(1, dtype=_RECORD)
            record[0] = (key, offset, height, width, _sum(kept), 0)
            record["record_sum"] = _record_sums(record)
            _write_at(self._folder / PIXELS, offset, kept)
            # Over what is left of a record that was not written to its end.
            _write_at(self._folder / INDEX, self._records_read * _RECORD.itemsize, record)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep out all who would write, threads of this process too: each opens the file for itself."""
        with (self._folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _padded(size: Any) -> Any:
    """Return how many bytes so many, a number or an array of them, take in whole words."""
    return (size + _WORD - 1) // _WORD * _WORD


def _sum(padded: UInt8[np.ndarray, " bytes"]) -> int:
    """Return the sum of all words, modulo 2^64: at the speed of memory, and other bytes rarely have the same."""
    return int(padded.view(np.uint64).sum(dtype=np.uint64))


def _record_sums(records: np.ndarray) -> np.ndarray:
    words = records.view(np.uint64).reshape(len(records), -1)
    return words[:, :-1].sum(axis=1, dtype=np.uint64) + _RECORD_SALT


def _write_at(file: Path, offset: int, array: np.ndarray) -> None:
    with file.open("r+b") as opened:
        opened.seek(offset)
        opened.write(array.tobytes())
