"""Repair picture files that decoders refuse although their pixels are complete. Functions of bytes."""

import re
import struct
from collections.abc import Callable, Iterator
from typing import TypeVar

Picture = TypeVar("Picture")

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}
"""The chunks that decide the pixels and the orientation."""

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PROGRESSIVE, _SCAN = 0xC2, 0xDA
# A marker that is not part of a scan: in a scan, 0xff is followed by 0 or by a restart marker.
_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
# No byte of these begins a marker.
_FILLINGS = (b"", b"\xa5" * 64, b"\x5a\x3c" * 32)


def without_metadata(content: bytes) -> bytes | None:
    """Return a PNG file without the chunks that do not affect pixels (texts, colour profiles, times).

    Returns:
        None if it is not a PNG file or has no such chunks.
    """
    if not content.startswith(_PNG):
        return None
    kept, at = [_PNG], len(_PNG)
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        end = at + size + 12
        if kind in _PNG_PIXELS:
            kept.append(content[at:end])
        at = end
    bare = b"".join(kept)
    return bare if len(bare) < len(content) else None


def with_its_end(content: bytes, decode: Callable[[bytes], Picture]) -> Picture | None:
    """Decode a JPEG file that lacks only its end marker.

    The file is decoded with several fillings before the end marker. If the pixels do not depend on the filling, no
    pixel is missing: a decoder would read missing pixels from the filling. A progressive file that ends after one of
    its scans would pass this test, so its last scans must also have the last bit of every coefficient.

    Returns:
        The result of ``decode``; None if it is not such a file.
    """
    if not (content.startswith(_JPEG) and _has_all_scans(content)):
        return None
    body = content[:-1] if content.endswith(b"\xff") else content
    first, *others = (decode(body + filling + _JPEG_END) for filling in _FILLINGS)
    return first if all(other == first for other in others) else None


def _has_all_scans(content: bytes) -> bool:
    """Return whether a JPEG file is not progressive, or has scans with the last bit of each of its coefficients."""
    missing: set[tuple[int, int]] = set()
    for marker, segment in _segments(content):
        if marker == _PROGRESSIVE:
            components = segment[8 : 8 + 3 * segment[7] : 3]
            missing = {(component, coefficient) for component in components for coefficient in range(64)}
        elif marker == _SCAN:
            end = 3 + 2 * segment[2]
            components, (first, last, bits) = segment[3:end:2], segment[end : end + 3]
            if bits & 15 == 0:
                missing -= {(component, k) for component in components for k in range(first, last + 1)}
    return not missing


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the marker of each segment of a JPEG file, and the segment from its length on."""
    at = 2
    while found := _MARKER.search(content, at):
        at = found.end()
        (size,) = struct.unpack_from(">H", content, at)
        yield found[1][0], content[at : at + size]
        at += size
