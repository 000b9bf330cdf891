"""Picture files whose pixels are sound although decoders refuse them: the same files with what they lack or without
what they should not have. Functions of bytes."""

import struct
from collections.abc import Callable
from typing import TypeVar

Picture = TypeVar("Picture")

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"}
"""What says anything about the pixels, and the orientation."""

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
# No byte of these begins a marker.
_FILLINGS = (b"", b"\xa5" * 64, b"\x5a\x3c" * 32)


def without_metadata(content: bytes) -> bytes | None:
    """Return a PNG file without the chunks that say nothing about pixels (texts, colour profiles, times).

    None where it is no PNG file or there are no such chunks.
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
    """Return what ``decode`` makes of a JPEG file that lacks nothing but its end marker.

    Nothing but the end is lacking where the pixels do not depend on what is put before the end: a decoder takes
    what it is given for pixels that are missing.

    Returns:
        None for another file.
    """
    if not content.startswith(_JPEG):
        return None
    body = content[:-1] if content.endswith(b"\xff") else content
    first, *others = (decode(body + filling + _JPEG_END) for filling in _FILLINGS)
    return first if all(other == first for other in others) else None
