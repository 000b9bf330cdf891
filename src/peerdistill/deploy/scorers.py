"""Scorers: functions from images to logits or features. Importing this file does not import PyTorch."""

from collections.abc import Callable
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from peerdistill.deploy.card import LeaderCard
from peerdistill.errors import UserError

if TYPE_CHECKING:
    from torch import nn

Scorer = Callable[
    [Float32[np.ndarray, "batch channels height width"]],
    Float32[np.ndarray, "batch outputs"],
]
"""Maps images with pixels in 0..1 to logits, or to features for an encoder. It normalises the images itself."""


def torch_scorer(network: "nn.Module") -> Scorer:
    """Return the scorer of a network that normalises its images itself."""
    import torch

    def score(
        images: Float32[np.ndarray, "batch channels height width"],
    ) -> Float32[np.ndarray, "batch outputs"]:
        with torch.inference_mode():
            return network(torch.from_numpy(images)).numpy()

    return score


def checked_scorer(score: Scorer, card: LeaderCard, path: Path) -> Scorer:
    """Return the scorer of a file with all errors as UserError, and with checked float32 outputs."""

    def checked(
        images: Float32[np.ndarray, "batch channels height width"],
    ) -> Float32[np.ndarray, "batch outputs"]:
        try:
            outputs = score(images)
        except Exception as error:  # the file decides what is computed, so any runtime error is possible
            reason = shorten(str(error) or type(error).__name__, 200)
            raise UserError(f"{path} cannot score pictures: {reason}") from error
        check_outputs(outputs, len(images), card, str(path))
        return outputs.astype(np.float32, copy=False)

    return checked


def check_outputs(outputs: Any, pictures: int, card: LeaderCard, name: str) -> None:
    """Check that ``outputs`` are finite, floating-point and have the shape that the card describes.

    Args:
        outputs: What a scorer returned.
        pictures: Number of images that the scorer got.
        card: The leader's card.
        name: Name of the leader, for the message.

    Raises:
        UserError: If they are not.
    """
    if not (isinstance(outputs, np.ndarray) and np.issubdtype(outputs.dtype, np.floating)):
        found = getattr(outputs, "dtype", type(outputs).__name__)
        raise UserError(f"{name} must give {card.output} as floating-point numbers, found {found}")
    if outputs.ndim != 2 or len(outputs) != pictures:
        raise UserError(
            f"{name} must give one row of {card.output} for each of {pictures} pictures, found shape {outputs.shape}"
        )
    if not card.is_encoder and outputs.shape[1] != len(card.class_names):
        raise UserError(f"{name} gives {outputs.shape[1]} logits and its card names {len(card.class_names)} classes")
    finite = np.isfinite(outputs).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{name} gives {card.output} that are not finite for {pictures - finite.sum()} of {pictures} pictures"
        )
