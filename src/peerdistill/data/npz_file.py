"""Arrays in an npz file, read without trusting what the file says of them.

``numpy.load`` allocates what a header claims before it looks whether the file holds as much.
"""

import os
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peerdistill.errors import UserError, cause, reading, shortened

_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
# No stream of deflate expands further.
_LARGEST_EXPANSION = 1032
_ENCRYPTED = 0x1
_KINDS_WITHOUT_OBJECTS = "biufcSU"
_CHUNK = 1 << 20


def read_keys(file: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """Return some arrays of an archive as ``numpy.savez`` writes it.

    Raises:
        UserError: The file is absent, is no such archive, lacks a key, is damaged, or claims to hold more than it does.
    """
    if not file.is_file():
        raise UserError(f"file '{file}' does not exist" if not file.exists() else f"'{file}' is no regular file")
    with reading(f"cannot read '{file}'"):
        if not zipfile.is_zipfile(file):
            raise UserError(f"'{file}' is no npz file (an archive as numpy.savez writes it)")
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if missing := [key for key in keys if key not in members]:
                raise UserError(f"'{file}' lacks {quoted(missing)}; it holds {quoted(list(members)) or 'nothing'}")
            return {key: _read_member(archive, members[key], f"'{key}' of '{file}'") for key in keys}


def quoted(names: Sequence[str]) -> str:
    """Return the first few names in quotes."""
    listed = ", ".join(f"'{shortened(name)}'" for name in names[:5])
    return f"{listed} and {len(names) - 5} more" if len(names) > 5 else listed


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> np.ndarray:
    _check_member(archive, info, name)
    with archive.open(info) as stream:
        try:
            shape, is_fortran, dtype = _read_header(stream)
        except Exception as error:  # NumPy reads the header as Python source
            raise UserError(f"{name} is no array: {cause(error)}") from error
        if not dtype.itemsize or dtype.kind not in _KINDS_WITHOUT_OBJECTS:
            raise UserError(f"{name} must hold numbers or strings, found the type {shortened(dtype)}")
        size = dtype.itemsize
        for length in shape:
            size *= length
        held = info.file_size - stream.tell()
        if size != held:
            raise UserError(f"{name} is damaged: an array of {size:,} bytes is announced, {held:,} follow")
        array = np.empty(size, np.uint8)
        _fill(array, stream, name)
    return array.view(dtype).reshape(shape, order="F" if is_fortran else "C") if size else np.empty(shape, dtype)


def _check_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> None:
    """Raise UserError for what can't be read, or can't be as large as it says."""
    if info.flag_bits & _ENCRYPTED:
        raise UserError(f"{name} is encrypted")
    if info.compress_type not in (_STORED, _DEFLATED):
        raise UserError(f"{name} is compressed by method {info.compress_type}, which numpy.savez does not use")
    most = min(info.compress_size, Path(archive.filename or "").stat().st_size)
    most *= _LARGEST_EXPANSION if info.compress_type == _DEFLATED else 1
    if info.file_size > most:
        raise UserError(f"{name} is damaged: {info.file_size:,} bytes are announced, the file can't hold as many")
    if info.file_size > _memory():
        raise UserError(f"{name} has {info.file_size:,} bytes, more than the {_memory():,} bytes of memory here")


def _memory() -> int:
    """Return the bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
