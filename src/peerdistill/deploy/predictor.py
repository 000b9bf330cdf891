"""Predictions for picture files, from an exported leader or from any function that scores images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.examples import by_examples
from peerdistill.deploy.scorers import Scorer, open_model
from peerdistill.errors import UserError


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
    model: Path, pictures: Sequence[Path], *, support: Path | None = None, top: int = 5, batch_size: int = 32
) -> list[Prediction]:
    """Classify pictures with an exported leader; PyTorch is not needed for ``.onnx``.

    Args:
        model: A ``.onnx``, ``.safetensors`` or ``.pt2`` file written by :func:`peerdistill.deploy.export`. A
            ``.pt2`` file is a program: use only those whose origin you know.
        pictures: Image files of any size.
        support: For an encoder: a folder of class folders with examples, see :func:`predict_with`.
        top: Classes to name for each picture; all, where the leader knows fewer.
        batch_size: Pictures scored at once.

    Raises:
        UserError: As :func:`predict_with`, and for a file that is no model.
    """
    score, card = open_model(model)
    return predict_with(score, card, pictures, support=support, top=top, batch_size=batch_size)


def predict_with(
    score: Scorer,
    card: LeaderCard,
    pictures: Sequence[Path],
    *,
    support: Path | None = None,
    top: int = 5,
    batch_size: int = 32,
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
        batch_size: Pictures scored at once.

    Raises:
        UserError: For a file that is no picture, numbers below 1, an encoder without ``support``, or ``support`` that
            is no folder of class folders or goes with no encoder.
    """
    _check(pictures, top, batch_size)
    if support is not None:
        score, card = by_examples(score, card, support, batch_size=batch_size)
    elif card.is_encoder:
        raise UserError("an encoder knows no classes: --support FOLDER shows it examples, in a folder for each class")
    predictions = []
    for start in range(0, len(pictures), batch_size):
        batch = pictures[start : start + batch_size]
        probabilities = _softmax(score(card.images(batch)))
        predictions += [_prediction(p, row, card, top) for p, row in zip(batch, probabilities, strict=True)]
    return predictions


def _check(pictures: Sequence[Path], top: int, batch_size: int) -> None:
    for name, value in (("top", top), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, found {value}")
    for path in pictures:
        if path.is_dir():
            raise UserError(f"{path} is a folder: pass picture files, for example {path / '*.jpg'}")


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
