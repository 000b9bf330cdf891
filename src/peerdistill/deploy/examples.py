"""A classifier from an encoder and a few examples of each class. Importing this file does not import PyTorch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from peerdistill.data.class_folders import list_pictures
from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.scorers import Scorer, check_outputs
from peerdistill.errors import UserError


def by_examples(score: Scorer, card: LeaderCard, support: Path, *, batch_size: int) -> tuple[Scorer, LeaderCard]:
    """Return the scorer and the card of a classifier whose classes are the folders in ``support``.

    The logit of a class is minus the squared distance between the picture's features and the mean features of the
    class's examples (a prototypical network; Snell et al., NIPS 2017).

    Args:
        score: Scorer of an encoder: from images to features.
        card: Card of the encoder.
        support: A folder of class folders with at least one picture each.
        batch_size: Number of pictures in a batch.

    Raises:
        UserError: If the leader is a classifier, ``support`` is not a folder of class folders, or a file in it is not
            a picture.
    """
    if not card.is_encoder:
        raise UserError(f"--support applies to encoders only, and this leader has {len(card.class_names)} classes")
    if not support.is_dir():
        raise UserError(f"the folder of examples {support} does not exist")
    examples = list_pictures(support)
    features = _features(score, card, [Path(path) for path in examples.paths()], batch_size)
    labels = np.array(examples.labels())
    prototypes = np.stack([features[labels == label].mean(0) for label in range(len(examples.class_names))])

    def logits(
        images: Float32[np.ndarray, "batch channels height width"],
    ) -> Float32[np.ndarray, "batch classes"]:
        difference = score(images)[:, None] - prototypes
        return -np.square(difference).sum(-1).astype(np.float32)

    return logits, replace(card, class_names=examples.class_names)


def _features(
    score: Scorer, card: LeaderCard, paths: Sequence[Path], batch_size: int
) -> Float[np.ndarray, "pictures width"]:
    features = []
    for start in range(0, len(paths), batch_size):
        batch = paths[start : start + batch_size]
        found = score(card.images(batch))
        check_outputs(found, len(batch), card, card.name)
        features.append(found)
    return np.concatenate(features).astype(np.float64)
