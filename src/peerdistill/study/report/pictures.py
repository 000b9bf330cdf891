"""Small pictures of evaluation sets as ``data:`` addresses, each once and up to a number of bytes."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from peerdistill.data.dataset import ArraySplit, Split
from peerdistill.errors import UserError
from peerdistill.runs.samples import as_deployed, load_data
from peerdistill.study.report.reported_run import ReportedRun

SIDE = 96
"""Largest side of a picture in pixels; larger ones are reduced."""

MOST_BYTES = 4_000_000
"""Most bytes of all pictures in a report."""

_LOSSLESS_SIDE = 48  # JPEG would blur small pictures, and save little
_QUALITY = 82


class Pictures:
    """The pictures of a report.

    Args:
        runs: Number of runs that share the space.
        most_bytes: Most bytes of all pictures.

    Attributes:
        addresses: The picture of each identifier as a ``data:`` address.
    """

    def __init__(self, runs: int, most_bytes: int = MOST_BYTES):
        self.addresses: dict[str, str] = {}
        self._share = most_bytes // max(runs, 1)
        self._loaded: list[tuple[Any, Split | str]] = []

    def of(self, reported: ReportedRun) -> "RunPictures":
        """Return the pictures of the evaluation set of a run, which loads its data unless another run has the same."""
        data, split = reported.run.config.data, reported.split
        for number, (key, images) in enumerate(self._loaded):
            if key == (data, split):
                return RunPictures(self.addresses, number, images, self._share)
        images = _images_of(reported)
        self._loaded.append(((data, split), images))
        return RunPictures(self.addresses, len(self._loaded) - 1, images, self._share)


class RunPictures:
    """The pictures of the evaluation set of one run.

    Args:
        addresses: Where the pictures are put by identifier.
        number: Number of the evaluation set.
        images: The evaluation set, or the reason why there are no pictures.
        most_bytes: Most bytes that this run may add.

    Attributes:
        missing: Why there are no pictures; empty if there are.
    """

    def __init__(self, addresses: dict[str, str], number: int, images: Split | str, most_bytes: int):
        self.missing = images if isinstance(images, str) else ""
        self._images = None if isinstance(images, str) else images
        self._addresses = addresses
        self._number = number
        self._left = most_bytes

    def add(self, row: int) -> str | None:
        """Return the identifier of a picture, which is added; None if it cannot be read or no space is left."""
        id = f"{self._number}-{row}"
        if self._images is None:
            return None
        if id in self._addresses:
            return id
        if not self._left:
            return None
        try:
            pixels = as_deployed(self._images, torch.tensor([row]))[0].permute(1, 2, 0).numpy()
        except UserError:  # removed or damaged since the run was trained
            return None
        address = address_of(pixels)
        if len(address) > self._left:
            self._left = 0  # no further pictures are read in vain
            return None
        self._left -= len(address)
        self._addresses[id] = address
        return id

    def name(self, row: int) -> str:
        """Return the folder and name of a picture file, or its place in the evaluation set."""
        if self._images is None or isinstance(self._images, ArraySplit):
            return f"image {row}"
        return "/".join(Path(self._images.paths[row]).parts[-2:])


def address_of(pixels: UInt8[np.ndarray, "height width channels"]) -> str:
    """Return a picture as ``data:image/...``: PNG if it is small, else JPEG."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((SIDE, SIDE))
    format = "PNG" if max(picture.size) <= _LOSSLESS_SIDE else "JPEG"
    content = io.BytesIO()
    picture.save(content, format=format, optimize=True, quality=_QUALITY)
    return f"data:image/{format.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"


def _images_of(reported: ReportedRun) -> Split | str:
    """Return the evaluation set of a run, or why its pictures are not shown."""
    try:
        data = load_data(reported.run)
    except UserError as error:
        return f"The pictures are not shown: {error}"
    images: Split | None = getattr(data, reported.split)
    assert reported.predictions is not None
    labels: Sequence[int] = reported.predictions.labels.tolist()
    if images is None or data.class_names != reported.predictions.class_names or images.labels.tolist() != labels:
        return "The pictures are not shown: the data have changed since the run was trained."
    return images
