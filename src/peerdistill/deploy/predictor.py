"""Predictions for picture files, by an exported leader or by any scorer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image

from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.examples import by_examples
from peerdistill.deploy.formats import Format, open_scorer
from peerdistill.deploy.pictures import named_pictures
from peerdistill.deploy.scorers import Scorer, check_outputs
from peerdistill.errors import UserError

# Pixels of one batch: 192 MiB as float32 RGB.
_MAX_BATCH_PIXELS = 2**24


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one picture, most probable first.

    Attributes:
        path: The file of the picture; for a picture in memory its place in the list.
        classes: Names of the classes.
        probabilities: Their probabilities, 0..1, by the softmax over all classes.
    """

    path: Path | int
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]


def predict(
    model: Path | str,
    pictures: Sequence[Any],
    *,
    format: Format | str | None = None,
    support: Path | str | None = None,
    top: int = 5,
    batch_size: int = 32,
    trust: bool = False,
    unreadable: Callable[[UserError], object] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[Prediction]:
    """Classify pictures with an exported leader. ``.onnx`` files do not need PyTorch.

    Args:
        model: A file written by :func:`peerdistill.deploy.export`.
        pictures: See :func:`predict_with`.
        format: Format of the file, or its name; by default the suffix decides.
        support: See :func:`predict_with`.
        top: See :func:`predict_with`.
        batch_size: See :func:`predict_with`.
        trust: Open the model even if this may run code that it holds, as a ``.pt2`` file can: it is a program.
        unreadable: See :func:`predict_with`.
        progress: See :func:`predict_with`.

    Raises:
        UserError: As :func:`predict_with`, and if ``model`` is not an exported leader.

    Example:
        >>> peerdistill.deploy.predict("leader.onnx", ["photo.jpg"], top=1)  # doctest: +SKIP
        [Prediction(path=PosixPath('photo.jpg'), classes=('cat',), probabilities=(0.97,))]
    """
    score, card = open_scorer(model, format, trust=trust)
    return predict_with(
        score,
        card,
        pictures,
        support=support,
        top=top,
        batch_size=batch_size,
        unreadable=unreadable,
        progress=progress,
    )


def predict_with(
    score: Scorer,
    card: LeaderCard,
    pictures: Sequence[Any],
    *,
    support: Path | str | None = None,
    top: int = 5,
    batch_size: int = 32,
    unreadable: Callable[[UserError], object] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> list[Prediction]:
    """Classify pictures with a scorer.

    Args:
        score: Maps float32 images, (batch, channels, height, width) with pixels in 0..1, to logits, (batch, classes),
            or to features, (batch, width), if the card names no classes.
        card: Input size, normalisation and class names.
        pictures: Image files of any size, folders, patterns and lists, PIL images and arrays, see
            :func:`peerdistill.deploy.pictures.named_pictures`.
        support: For an encoder: a folder with one folder of example pictures for each class. A picture is assigned to
            the class whose mean features are nearest (a prototypical network; Snell et al., NIPS 2017).
        top: Number of classes per picture; all classes if there are fewer.
        batch_size: Number of pictures in a batch; less if they are very large.
        unreadable: Called with the error of each picture that cannot be read; the others are classified. By default
            the first such error is raised.
        progress: Called after every batch with the number of pictures that are done, and of all pictures.

    Returns:
        A prediction for each picture that can be read, in the order of ``pictures``.

    Raises:
        UserError: If a file is not a picture, a folder, pattern or list holds none, ``top`` or ``batch_size`` is below
            1, ``support`` is missing for an encoder or given for a classifier or not a folder of class folders, or the
            outputs are not finite or do not match the card.
    """
    _check(pictures, top, batch_size)
    batch_size = min(batch_size, max(1, _MAX_BATCH_PIXELS // card.image_size**2))
    if support is not None:
        score, card = by_examples(score, card, Path(support), batch_size=batch_size)
    elif card.is_encoder:
        raise UserError(
            "an encoder has no classes: pass a folder with one folder of examples for each class, --support FOLDER"
        )
    named = named_pictures(pictures)
    predictions = []
    for start in range(0, len(named), batch_size):
        batch, images = _read(named[start : start + batch_size], card, unreadable or _raise)
        if batch:
            logits = score(images)
            check_outputs(logits, len(batch), card, card.name)
            predictions += [_prediction(p, row, card, top) for p, row in zip(batch, _softmax(logits), strict=True)]
        if progress is not None:
            progress(min(start + batch_size, len(named)), len(named))
    return predictions


def _check(pictures: Sequence[Any], top: int, batch_size: int) -> None:
    if isinstance(pictures, str | Path):
        raise UserError(f"pictures must be a list of files, found the single file {pictures}")
    for name, value in (("top", top), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"{name} must be at least 1, found {value}")


def _read(
    named: Sequence[tuple[Path | int, Path | Image.Image]], card: LeaderCard, unreadable: Callable[[UserError], object]
) -> tuple[list[Path | int], Float32[np.ndarray, "batch channels height width"]]:
    """Return the names of the pictures that can be read, and these pictures as the leader's input."""
    read, images = [], [np.empty((0, card.channels, card.image_size, card.image_size), np.float32)]
    for name, picture in named:
        try:
            images.append(card.images([picture]))
            read.append(name)
        except UserError as error:
            unreadable(error)
    return read, np.concatenate(images)


def _raise(error: UserError) -> None:
    raise error


def _softmax(logits: Float[np.ndarray, "batch classes"]) -> Float[np.ndarray, "batch classes"]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _prediction(
    path: Path | int, probabilities: Float[np.ndarray, " classes"], card: LeaderCard, top: int
) -> Prediction:
    best = np.argsort(-probabilities, kind="stable")[:top]
    return Prediction(
        path,
        classes=tuple(card.class_names[k] for k in best),
        probabilities=tuple(float(probabilities[k]) for k in best),
    )
