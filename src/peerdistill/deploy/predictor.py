"""Predictions for picture files, from an exported leader or from any function that scores images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.examples import by_examples
from peerdistill.deploy.scorers import Scorer, check_outputs, open_model
from peerdistill.errors import UserError

# Of one batch: 192 MiB of float32 RGB pixels.
_MAX_BATCH_PIXELS = 2**24


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one picture, most probable first.

    Attributes:
        path: The picture.
        classes: Names.
        probabilities: Theirs, softmax over all classes, 0..1.
    """

    path: Path
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def predict(
    model: Path | str,
    pictures: Sequence[Path | str],
    *,
    support: Path | str | None = None,
    top: int = 5,
    batch_size: int = 32,
    unreadable: Callable[[UserError], object] | None = None,
) -> list[Prediction]:
    """Classify pictures with an exported leader; PyTorch is not needed for ``.onnx``.

    Args:
        model: A ``.onnx``, ``.safetensors`` or ``.pt2`` file written by :func:`peerdistill.deploy.export`. A
            ``.pt2`` file is a program: use only those whose origin you know.
        pictures: Image files of any size.
        support: For an encoder: a folder of class folders with examples, see :func:`predict_with`.
        top: Classes to name for each picture; all, where the leader knows fewer.
        batch_size: Pictures scored at once; fewer, where they are very large.
        unreadable: See :func:`predict_with`.

    Raises:
        UserError: As :func:`predict_with`, and for a file that is no model.
    """
    score, card = open_model(model)
    how = {"support": support, "top": top, "batch_size": batch_size, "unreadable": unreadable}
    return predict_with(score, card, pictures, **how)


def predict_with(
    score: Scorer,
    card: LeaderCard,
    pictures: Sequence[Path | str],
    *,
    support: Path | str | None = None,
    top: int = 5,
    batch_size: int = 32,
    unreadable: Callable[[UserError], object] | None = None,
) -> list[Prediction]:
    """Classify pictures with any function that scores images.

    Args:
        score: Maps float32 images, (batch, channels, height, width) with pixels in 0..1, to logits,
            (batch, classes), or to features where the card names no class.
        card: How pictures are prepared and classes called.
        pictures: Image files of any size.
        support: For an encoder: a folder of class folders with examples. A picture belongs to the class whose
            examples' mean features are nearest (a prototypical network; Snell et al., 2017).
        top: Classes to name for each picture; all, where there are fewer.
        batch_size: Pictures scored at once; fewer, where they are very large.
        unreadable: Called with the error of each picture that can't be read; the others are classified. By default
            the first such error is raised.

    Returns:
        A prediction for each picture that can be read, in their order.

    Raises:
        UserError: For a file that is no picture, numbers below 1, an encoder without ``support``, ``support`` that
            is no folder of class folders or goes with no encoder, or outputs that are not finite or not of the card's
            classes.
    """
    _check(pictures, top, batch_size)
    batch_size = min(batch_size, max(1, _MAX_BATCH_PIXELS // card.image_size**2))
    if support is not None:
        score, card = by_examples(score, card, Path(support), batch_size=batch_size)
    elif card.is_encoder:
        raise UserError("an encoder knows no classes: --support FOLDER shows it examples, in a folder for each class")
    paths = [Path(picture) for picture in pictures]
    predictions = []
    for start in range(0, len(paths), batch_size):
        batch, images = _read(paths[start : start + batch_size], card, unreadable or _raise)
        if not batch:
            continue
        logits = score(images)
        check_outputs(logits, len(batch), card, "the leader")
        predictions += [_prediction(p, row, card, top) for p, row in zip(batch, _softmax(logits), strict=True)]
    return predictions


def _check(pictures: Sequence[Path | str], top: int, batch_size: int) -> None:
    if isinstance(pictures, str | Path):
        raise UserError(f"pictures must be a list of files, found the single name {pictures}")
    for name, value in (("top", top), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, found {value}")


def _read(
    paths: Sequence[Path], card: LeaderCard, unreadable: Callable[[UserError], object]
) -> tuple[list[Path], Float32[np.ndarray, "batch channels height width"]]:
    """Return the paths whose pictures can be read, and the pictures as the leader takes them."""
    read, images = [], [np.empty((0, card.channels, card.image_size, card.image_size), np.float32)]
    for path in paths:
        try:
            if path.is_dir():
                raise UserError(f"{path} is a folder: pass picture files, for example {path / '*.jpg'}")
            images.append(card.images([path]))
            read.append(path)
        except UserError as error:
            unreadable(error)
    return read, np.concatenate(images)


def _raise(error: UserError) -> None:
    raise error


def _softmax(logits: Float[np.ndarray, "batch classes"]) -> Float[np.ndarray, "batch classes"]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _prediction(path: Path, probabilities: Float[np.ndarray, " classes"], card: LeaderCard, top: int) -> Prediction:
    best = np.argsort(-probabilities, kind="stable")[:top]
    return Prediction(
        path,
        classes=tuple(card.class_names[k] for k in best),
        probabilities=tuple(float(probabilities[k]) for k in best),
    )
