"""Read arrays from an npz file without trusting its headers.

``numpy.load`` allocates the memory that a header announces before it checks that the file has that many bytes.
"""

import os
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peerdistill.errors import UserError, cause, reading, shortened, some_of

_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
# The largest compression ratio of deflate.
_LARGEST_EXPANSION = 1032
_ENCRYPTED = 0x1
_KINDS_WITHOUT_OBJECTS = "biufcSU"
_CHUNK = 1 << 20


def read_keys(file: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the arrays ``keys`` of an archive that ``numpy.savez`` wrote.

    Raises:
        UserError: The file does not exist, is not such an archive, lacks a key, is damaged, or announces more bytes
            than it has.
    """
    if not file.is_file():
        raise UserError(f"file '{file}' does not exist" if not file.exists() else f"'{file}' is not a regular file")
    with reading(f"cannot read '{file}'"):
        if not zipfile.is_zipfile(file):
            raise UserError(f"'{file}' is not an npz file (an archive that numpy.savez writes)")
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if missing := [key for key in keys if key not in members]:
                raise UserError(f"'{file}' lacks {some_of(missing)}: it has {some_of(list(members)) or 'no arrays'}")
            return {key: _read_member(archive, members[key], f"'{key}' of '{file}'") for key in keys}


def memory_bytes() -> int:
    """Return the bytes of memory of this machine, or the largest integer if the system does not say."""
    if not hasattr(os, "sysconf"):  # Windows
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    _check_member(archive, info, name)
    with archive.open(info) as stream:
        try:
            shape, is_fortran, dtype = _read_header(stream)
        except Exception as error:  # NumPy parses the header as Python source
            raise UserError(f"{name} is not an array: {cause(error)}") from error
        if not dtype.itemsize or dtype.kind not in _KINDS_WITHOUT_OBJECTS:
            raise UserError(f"{name} must contain numbers or strings, found the type {shortened(dtype)}")
        size = dtype.itemsize
        for length in shape:
            size *= length
        held = info.file_size - stream.tell()
        if size != held:
            raise UserError(f"{name} is damaged: its header announces {size:,} bytes, it has {held:,}")
        array = np.empty(size, np.uint8)
        _fill(array, stream, name)
    return array.view(dtype).reshape(shape, order="F" if is_fortran else "C") if size else np.empty(shape, dtype)


def _check_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> None:
    """Raise UserError for a member that can't be read, or can't have the size that it announces."""
    if info.flag_bits & _ENCRYPTED:
        raise UserError(f"{name} is encrypted")
    if info.compress_type not in (_STORED, _DEFLATED):
        raise UserError(f"{name} is compressed by method {info.compress_type}, which numpy.savez does not use")
    most = min(info.compress_size, Path(archive.filename or "").stat().st_size)
    most *= _LARGEST_EXPANSION if info.compress_type == _DEFLATED else 1
    if info.file_size > most:
        raise UserError(f"{name} is damaged: it announces {info.file_size:,} bytes, more than the file can contain")
    if info.file_size > memory_bytes():
        raise UserError(f"{name} has {info.file_size:,} bytes, this machine has {memory_bytes():,} bytes of memory")


def _read_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"its format has version {version[0]}.{version[1]}")
    shape, is_fortran, dtype = readers[version](stream)
    if any(length < 0 for length in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, is_fortran, dtype


def _fill(array: np.ndarray, stream: Any, name: str) -> None:
    done = 0
    for chunk in _chunks(stream):
        array[done : done + len(chunk)] = np.frombuffer(chunk, np.uint8)
        done += len(chunk)
    if done != len(array):
        raise UserError(f"{name} is damaged: it ends after {done:,} of {len(array):,} bytes")


def _chunks(stream: Any) -> Iterable[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk
