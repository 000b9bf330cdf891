"""Many names in two NumPy arrays instead of as many Python strings.

A forked process that reads a Python string writes to its reference count, and so copies the memory page with it. Data
workers would copy the strings of a large data set page by page (PyTorch's issue 13246). Arrays are only read.

N names.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from itertools import islice
from os.path import isabs
from typing import overload

import numpy as np
from jaxtyping import Int64, Integer, UInt8

_ENCODED_AT_ONCE = 2**16


class PackedNames(Sequence[str]):
    """Names as UTF-8 in one array of bytes, with the place of each.

    Names of files that are not UTF-8, which Python writes with lone surrogates, are kept.

    Args:
        names: The names.
        folder: Put before every name that is not an absolute path; "" and ".": nothing.

    Example:
        >>> names = PackedNames(["cat/1.jpg", "dog/2.jpg"], folder="photos")
        >>> names[1], len(names)
        ('photos/dog/2.jpg', 2)
        >>> names.inside[1]
        'dog/2.jpg'
    """

    def __init__(self, names: Iterable[str] = (), folder: str = ""):
        self._folder = "" if folder == "." else folder
        self._bytes, self._starts_N, self._ends_N = _packed(names)

    @property
    def inside(self) -> "PackedNames":
        """The names without the folder."""
        return self._with(self._starts_N, self._ends_N, folder="")

    def at(self, rows: Integer[np.ndarray, "rows"]) -> "PackedNames":
        """Return the names in ``rows``. They share the memory of these."""
        return self._with(self._starts_N[rows], self._ends_N[rows], self._folder)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._bytes.nbytes + self._starts_N.nbytes + self._ends_N.nbytes

    def __len__(self) -> int:
        return len(self._starts_N)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "PackedNames": ...
    def __getitem__(self, row: int | slice) -> "str | PackedNames":
        if isinstance(row, slice):
            return self._with(self._starts_N[row], self._ends_N[row], self._folder)
        found = self._bytes[self._starts_N[row] : self._ends_N[row]].tobytes().decode("utf-8", "surrogatepass")
        is_inside = self._folder and not isabs(found)  # noqa: PTH117 (a million)
        return f"{self._folder}/{found}" if is_inside else found

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedNames | tuple | list):
            return NotImplemented
        return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def _with(self, starts_N: Int64[np.ndarray, "N"], ends_N: Int64[np.ndarray, "N"], folder: str) -> "PackedNames":
        names = copy(self)
        names._starts_N, names._ends_N, names._folder = starts_N, ends_N, folder
        return names


def _packed(
    names: Iterable[str],
) -> tuple[UInt8[np.ndarray, "bytes"], Int64[np.ndarray, "N"], Int64[np.ndarray, "N"]]:
    """Return the bytes of names, and where each starts and ends."""
    remaining = iter(names)
    content, lengths = bytearray(), []
    while part := [name.encode("utf-8", "surrogatepass") for name in islice(remaining, _ENCODED_AT_ONCE)]:
        content += b"".join(part)
        lengths.append(np.fromiter(map(len, part), dtype=np.int64, count=len(part)))
    ends_N = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
    return np.frombuffer(bytes(content), dtype=np.uint8), ends_N[:-1], ends_N[1:]
