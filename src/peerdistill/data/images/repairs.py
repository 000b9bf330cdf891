"""Repair picture files that decoders refuse although their pixels are complete. Functions of bytes."""

import struct
from collections.abc import Callable
from typing import TypeVar

Picture = TypeVar("Picture")

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}
"""The chunks that decide the pixels and the orientation."""

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
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
    pixel is missing: a decoder would read missing pixels from the filling.

    Returns:
        The result of ``decode``; None if it is not such a file.
    """
    if not content.startswith(_JPEG):
        return None
    body = content[:-1] if content.endswith(b"\xff") else content
    first, *others = (decode(body + filling + _JPEG_END) for filling in _FILLINGS)
    return first if all(other == first for other in others) else None
