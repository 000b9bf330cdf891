"""Decoded pictures in the form from which training or evaluation goes on, kept in a cache or not.

Nothing about a form is random, and what follows it can't tell a picture that was just decoded from one that was kept:
a run's numbers do not depend on whether there was a cache.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image

from peerdistill.data.cache_room import CacheRoom, users_cache_folder
from peerdistill.data.class_folders import listed_bytes, read_listed
from peerdistill.data.config import NO_CACHE, USERS_CACHE, DataConfig
from peerdistill.data.digests import KnownDigests, digest_of
from peerdistill.data.picture_cache import KEY_BYTES, PictureCache, Pixels
from peerdistill.data.pictures import PILLOW_MODES, fit
from peerdistill.errors import PeerdistillWarning
from peerdistill.paths import user_path

# To be raised when any form gives other pixels than before: what was kept in it is then not found any more.
_VERSION = 2


@dataclass(frozen=True)
class Squares:
    """The central square that evaluation sees, see `peerdistill.data.pictures.fit`."""

    size: int
    channels: int
    crop: float

    def __call__(self, picture: Image.Image) -> Pixels:
        """Return the square."""
        return fit(picture, self.size, self.channels, self.crop)


@dataclass(frozen=True)
class Shrunk:
    """The whole picture, its shorter side at most ``shorter`` pixels: what random parts are taken from."""

    shorter: int
    channels: int

    def __call__(self, picture: Image.Image) -> Pixels:
        """Return the picture, which is never enlarged."""
        if picture.mode != PILLOW_MODES[self.channels]:
            picture = picture.convert(PILLOW_MODES[self.channels])
        pixels = np.array(picture).reshape(picture.height, picture.width, self.channels)
        shrink = self.shorter / min(picture.size)
        if shrink >= 1:
            return pixels
        extent = (round(picture.height * shrink), round(picture.width * shrink))
        return resized(torch.from_numpy(pixels).permute(2, 0, 1), extent).permute(1, 2, 0).numpy()


Form = Squares | Shrunk
"""What is done to a decoded picture before it is kept; the ``repr`` says all about it."""


def resized(pixels: torch.Tensor, extent: tuple[int, int]) -> torch.Tensor:
    """Return bytes (channels, height, width) at another extent, with antialiased bilinear filtering.

    On bytes whose channels lie together this is what Pillow does, to one level of 255, in a third of its time.
    """
    return F.interpolate(pixels[None], size=extent, mode="bilinear", antialias=True)[0]


class StoredPictures:
    """Pictures of a folder in one form.

    Args:
        form: What they are kept as.
        cache: Where they are kept; None: each is decoded whenever it is asked for.
    """

    def __init__(self, form: Form, cache: PictureCache | None = None):
        self._form = form
        self._cache = cache

    def read(self, path: str) -> Pixels:
        """Return a picture's pixels, which are not to be written to.

        A kept picture is found by the content of its file: one that has changed since is another picture.

        Raises:
            UserError: The file is absent, is no picture, or is damaged or cut short.
        """
        content = listed_bytes(path)
        return self._pixels(content, path, None if self._cache is None else digest_of(content))

    def digest(self, path: str) -> bytes:
        """Return the digest of a picture's file after seeing that it can be decoded, or was.

        Raises:
            UserError: As `read`.
        """
        content = listed_bytes(path)
        digest = digest_of(content)
        self._pixels(content, path, digest)
        return digest

    def _pixels(self, content: bytes, path: str, digest: bytes | None) -> Pixels:
        if self._cache is None or digest is None:
            return self._form(read_listed(lambda: content, path))
        pixels = self._cache.get(digest)
        if pixels is None:
            pixels = self._form(read_listed(lambda: content, path))
            self._cache.add(digest, pixels)
        return pixels


def stored_pictures(form: Form, folder: Path, config: DataConfig) -> StoredPictures:
    """Return the pictures of ``folder`` in ``form``, kept where ``config`` says."""
    root = _cache_root(config)
    if root is None:
        return StoredPictures(form)
    room = CacheRoom(root, most_bytes=config.cache_gib * 2**30)
    return StoredPictures(form, PictureCache(root / _cache_name(folder, form), form.channels, room))


def known_digests(folder: Path, config: DataConfig, *, decoded: bool) -> KnownDigests:
    """Return the digests of the files of ``folder``, remembered where ``config`` says.

    Args:
        folder: Of the pictures.
        config: Says where decoded pictures are kept.
        decoded: Only of files that could be decoded.
    """
    root = _cache_root(config)
    return KnownDigests(None if root is None else root / f"{_cache_name(folder, decoded)}.digests")


def _cache_root(config: DataConfig) -> Path | None:
    if config.cache == NO_CACHE:
        return None
    if config.cache != USERS_CACHE:
        return user_path(config.cache, "cache")
    try:
        return users_cache_folder()
    except RuntimeError:  # a container's user may have no home folder
        text = "decoded pictures are not kept, for want of a home folder: --cache FOLDER names another one"
        warnings.warn(text, PeerdistillWarning, stacklevel=4)
        return None


def _cache_name(folder: Path, kind: object) -> str:
    # Decoders may differ between versions in a level here and there.
    settings = ascii((_VERSION, PIL.__version__, torch.__version__, str(folder.resolve()), kind))
    return f"{folder.resolve().name}-{hashlib.blake2b(settings.encode(), digest_size=KEY_BYTES).hexdigest()}"
