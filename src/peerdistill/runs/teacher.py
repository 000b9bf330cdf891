"""A teacher from a run or an exported leader."""

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
    """A teacher as read from its source.

    Attributes:
        backbone: Its backbone, with a classifier.
        network: The whole network; that of an encoder has no classifier.
        card: Its card.
        classes: Classes of its trained classifier; empty if it has none.
    """

    backbone: Backbone
    network: nn.Module
    card: LeaderCard
    classes: tuple[str, ...]


def load_teacher(source: str, data: Dataset) -> Teacher:
    """Return the leader of a run, or of a ``.safetensors`` file, as a teacher of ``data``.

    Args:
        source: Folder of a run (its last epoch), or an exported file.
        data: Data of the student. The teacher receives them with the normalisation and size of its own data.

    Raises:
        UserError: The run or file does not exist, or has other classes or another number of channels.
    """
    teacher, classes = load_feature_teacher(source, data)
    if classes != data.class_names:
        raise UserError(
            f"teacher {source} was trained on different classes, or on the same classes in a different order"
        )
    return teacher


def load_feature_teacher(source: str, data: Dataset) -> tuple[Teacher, tuple[str, ...]]:
    """Return a teacher with any classes, and the classes of its logits.

    The classes are empty if it has no trained classifier: a prototypical network alone, or an exported encoder.

    Raises:
        UserError: The run or file does not exist, or it has another number of channels.
    """
    # The random state is restored: the results of the student must not depend on the source of its teacher.
    with torch.random.fork_rng(devices=[]):
        found = _read(Path(source))
        if found.card.channels != data.channels:
            raise UserError(
                f"teacher {source} requires images with {found.card.channels} channels, the data have {data.channels}"
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
    if not source.exists():
        raise UserError(f"there is no teacher {source}: it must be a run folder or an exported .safetensors file")
    if not source.is_dir():
        backbone, network, card = open_leader(source)
        return _Found(backbone, network, card, card.class_names)
    run = Run(source)
    restored = restore(run)
    classes = restored.card.class_names
    if restored.card.is_encoder and methods.find(run.config.method).uses_logits:
        classes = tuple(restored.state["notes"]["data"]["class_names"])
    return _Found(restored.cohort.backbone, restored.cohort.leader(), restored.card, classes)
