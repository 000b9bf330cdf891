"""A teacher from a run or from an exported leader."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from peerdistill import methods
from peerdistill.backbones import Backbone
from peerdistill.cohort import Cohort
from peerdistill.data import Dataset
from peerdistill.deploy import LeaderCard, open_leader
from peerdistill.errors import UserError
from peerdistill.runs.restore import restore
from peerdistill.runs.run import Run
from peerdistill.terms import Teacher


class _Found(NamedTuple):
    """A teacher as it was read.

    Attributes:
        backbone: Its backbone, which has a classifier.
        network: A whole network; of an encoder without its classifier.
        card: Its card.
        classes: What its classifier was trained to tell; none where it has no trained classifier.
    """

    backbone: Backbone
    network: nn.Module
    card: LeaderCard
    classes: tuple[str, ...]


def load_teacher(source: str, data: Dataset) -> Teacher:
    """Return the leader of a run, or of a ``.safetensors`` file, as a teacher of ``data``.

    Args:
        source: Folder of a run (its last epoch), or an exported file.
        data: What the student learns from. The teacher sees it normalised, and of the size, as its own data was.

    Raises:
        UserError: Where there is no such run or file, or it knows other classes or another number of channels.
    """
    teacher, classes = load_feature_teacher(source, data)
    if classes != data.class_names:
        raise UserError(f"teacher {source} does not know the classes of the data, or in another order")
    return teacher


def load_feature_teacher(source: str, data: Dataset) -> tuple[Teacher, tuple[str, ...]]:
    """Return a teacher as :func:`load_teacher` does, whatever its classes are, and those that its scores stand for.

    There are none where it has no trained classifier: a prototypical network alone, or an exported encoder.

    Raises:
        UserError: Where there is no such run or file, or it takes another number of channels.
    """
    # Weights are drawn only to be replaced: the student's numbers must not depend on where its teacher comes from.
    with torch.random.fork_rng(devices=[]):
        found = _read(Path(source))
        if found.card.channels != data.channels:
            raise UserError(
                f"teacher {source} takes images of {found.card.channels} channels, the data has {data.channels}"
            )
        return _as_teacher(found, data), found.classes


def _as_teacher(found: _Found, data: Dataset) -> Teacher:
    card = found.card
    cohort = Cohort(found.backbone, len(found.classes), peers=1, sharing="network")
    cohort.networks[0].load_state_dict(found.network.state_dict(), strict=not card.is_encoder)
    pixels = list(zip(data.mean, data.std, card.mean, card.std, strict=True))
    return Teacher(
        cohort,
        scale=[std / own_std for _, std, _, own_std in pixels],
        shift=[(mean - own_mean) / own_std for mean, _, own_mean, own_std in pixels],
        size=card.image_size,
    )


def _read(source: Path) -> _Found:
    if not source.is_dir():
        backbone, network, card = open_leader(source)
        return _Found(backbone, network, card, card.class_names)
    run = Run(source)
    restored = restore(run)
    classes = restored.card.class_names
    if restored.card.is_encoder and methods.find(run.config.method).uses_logits:
        classes = tuple(restored.state["notes"]["data"]["class_names"])
    return _Found(restored.cohort.backbone, restored.cohort.leader(), restored.card, classes)
