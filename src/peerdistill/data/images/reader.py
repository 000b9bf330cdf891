"""Read preprocessed pictures from their files, or from a cache of earlier results.

A picture from the cache equals one that is decoded again: the numbers of a run do not depend on the cache.
"""

import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, TypeVar

import PIL
from PIL import Image

from peerdistill.data.config import NO_CACHE, USERS_CACHE, DataConfig
from peerdistill.data.images.cache_room import CacheRoom, users_cache_folder
from peerdistill.data.images.decode import open_picture, picture_bytes, read_picture
from peerdistill.data.images.digests import KnownDigests, Stamp, digest_of, file_stamp
from peerdistill.data.images.picture_cache import KEY_BYTES, PictureCache
from peerdistill.data.images.preprocess import Pixels, Preprocess
from peerdistill.errors import PeerdistillWarning, UserError, some_of
from peerdistill.paths import user_path

Result = TypeVar("Result")

Content = Callable[[str], bytes]
"""Returns the bytes of the picture file with a path, wherever it is kept."""

# Increase it whenever preprocessing gives other pixels than before: caches of the earlier version are then not used.
_VERSION = 3


class PictureReader:
    """Reads the pictures of a source with one kind of preprocessing.

    Args:
        preprocess: Applied to every decoded picture.
        cache: Cache of the results; None: every picture is decoded whenever it is read.
        content: Returns the bytes of the picture with a path; by default those of the file.
    """

    def __init__(self, preprocess: Preprocess, cache: PictureCache | None = None, content: Content | None = None):
        self._preprocess = preprocess
        self._cache = cache
        self._content = listed_bytes if content is None else content

    def read(self, path: str) -> Pixels:
        """Return the preprocessed pixels of a picture. Do not write to them: they may belong to the cache.

        The cache is indexed by the content of the file, so a file that changes is decoded again.

        Raises:
            UserError: The file does not exist, is not a picture, or is damaged or truncated.
        """
        content = self._content(path)
        return self._pixels(content, path, None if self._cache is None else digest_of(content))

    def digest(self, path: str) -> bytes:
        """Return the digest of a picture file after checking that the picture can be decoded.

        Raises:
            UserError: As :meth:`read`.
        """
        content = self._content(path)
        digest = digest_of(content)
        self._pixels(content, path, digest)
        return digest

    def _pixels(self, content: bytes, path: str, digest: bytes | None) -> Pixels:
        if self._cache is None or digest is None:
            return self._preprocessed(content, path)
        pixels = self._cache.get(digest)
        if pixels is None:
            pixels = self._preprocessed(content, path)
            self._cache.add(digest, pixels)
        return pixels

    def _preprocessed(self, content: bytes, path: str) -> Pixels:
        return self._preprocess(read_listed(lambda: content, path, self._preprocess.sufficient))


def picture_reader(
    preprocess: Preprocess, place: Path | str, config: DataConfig, content: Content | None = None
) -> PictureReader:
    """Return the reader of the pictures of a source, with the cache that ``config`` names.

    Args:
        preprocess: Applied to every decoded picture.
        place: The folder of the pictures, or another name of the source.
        config: Names the cache folder.
        content: As for :class:`PictureReader`.
    """
    root = _cache_root(config)
    if root is None:
        return PictureReader(preprocess, content=content)
    room = CacheRoom(root, most_bytes=config.cache_gib * 2**30)
    cache = PictureCache(root / _cache_name(place, preprocess), preprocess.channels, room)
    return PictureReader(preprocess, cache, content)


def known_digests(
    place: Path | str, config: DataConfig, *, decoded: bool, stamp: Callable[[str], Stamp] = file_stamp
) -> KnownDigests:
    """Return the digests of the pictures of a source that are known from earlier runs.

    Args:
        place: The folder of the pictures, or another name of the source.
        config: Names the cache folder.
        decoded: Only pictures that were decoded successfully.
        stamp: As for :class:`peerdistill.data.images.digests.KnownDigests`.
    """
    root = _cache_root(config)
    return KnownDigests(None if root is None else root / f"{_cache_name(place, decoded)}.digests", stamp)


def _cache_root(config: DataConfig) -> Path | None:
    if config.cache == NO_CACHE:
        return None
    if config.cache != USERS_CACHE:
        return user_path(config.cache, "cache")
    try:
        return users_cache_folder()
    except RuntimeError:  # the user of a container may have no home folder
        text = "decoded pictures are not cached, because there is no home folder: choose a folder with --cache FOLDER"
        warnings.warn(text, PeerdistillWarning, stacklevel=4)
        return None


def _cache_name(place: Path | str, kind: object) -> str:
    import torch

    name = str(place.resolve()) if isinstance(place, Path) else place
    # Decoders of two versions may differ by a level in some pixels.
    settings = ascii((_VERSION, PIL.__version__, torch.__version__, name, kind))
    return f"{PurePath(name).name}-{hashlib.blake2b(settings.encode(), digest_size=KEY_BYTES).hexdigest()}"


def open_listed(path: str) -> Image.Image:
    """Return a picture as :func:`open_picture` does; the error also names the option that leaves the picture out."""
    with _hint():
        return open_picture(path)


def listed_bytes(path: str) -> bytes:
    """Return the content of a picture file, for :func:`read_listed`."""
    with _hint():
        return picture_bytes(path)


def read_listed(content: Callable[[], bytes], name: str, sufficient: int | None = None) -> Image.Image:
    """Return a picture as :func:`open_listed` does, from the content of its file; error messages use ``name``.

    ``sufficient`` is that of :func:`read_picture`.
    """
    with _hint():
        return read_picture(content(), name, sufficient)


@contextmanager
def _hint() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{error} (--skip_unreadable leaves such pictures out)") from error


def tolerant(read: Callable[[Any], Result], *, skip: bool) -> Callable[[Any], Result | None]:
    """Return a function that calls ``read``, and with ``skip`` returns None if ``read`` raises ``UserError``."""

    def result(argument: Any) -> Result | None:
        try:
            return read(argument)
        except UserError:
            if skip:
                return None
            raise

    return result


def warn_left_out(names: Sequence[str]) -> None:
    """Warn about the pictures that are left out because they can't be read."""
    if names:
        pictures = "1 unreadable picture is" if len(names) == 1 else f"{len(names)} unreadable pictures are"
        text = f"{pictures} left out: {some_of(names, most=10)}"
        warnings.warn(text, PeerdistillWarning, stacklevel=3)
