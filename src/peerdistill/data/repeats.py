"""Held-out images that are training images too: the accuracy on them is not that on new images."""

import warnings

import numpy as np
from jaxtyping import Bool, Int64

from peerdistill.data.dataset import ArraySplit, Dataset, Split
from peerdistill.data.images.digests import as_integers, as_rows, digest_of
from peerdistill.errors import PeerdistillWarning, some_of

_MOST_SHOWN = 3
_NAMES = {"val": "validation", "test": "test"}
_NOTHING = np.empty(0, dtype=np.int64)


def warn_about_repeats(data: Dataset) -> None:
    """Warn if validation or test images have the same content as training images.

    Pictures are compared by their files, arrays by their pixels: a picture that was saved again is not found.

    Args:
        data: The images; their splits are compared.
    """
    held_out = {name: split for name in _NAMES if (split := getattr(data, name)) is not None}
    trained = _keys(data.train) if held_out else _NOTHING
    for name, split in held_out.items():
        repeated = np.isin(_keys(split), trained)
        if repeated.any():
            warnings.warn(_sentence(name, split, repeated), PeerdistillWarning, stacklevel=3)


def _sentence(name: str, split: Split, repeated: Bool[np.ndarray, " samples"]) -> str:
    count = int(repeated.sum())
    verb = "is a training image" if count == 1 else "are training images"
    shown = ""
    if not isinstance(split, ArraySplit):
        paths = [split.paths[int(row)] for row in np.flatnonzero(repeated)[: _MOST_SHOWN + 1]]
        shown = f" ({some_of(paths[:_MOST_SHOWN])}{', ...' if len(paths) > _MOST_SHOWN else ''})"
    return (
        f"{count:,} of {len(split):,} {_NAMES[name]} images {verb} too{shown}: accuracy on them says nothing about new "
        "images"
    )


def _keys(split: Split) -> Int64[np.ndarray, " samples"]:
    """Return a number for the content of each image."""
    if isinstance(split, ArraySplit):
        return as_integers(as_rows([digest_of(image.tobytes()) for image in split.images.numpy()]))
    return as_integers(split.digests)
