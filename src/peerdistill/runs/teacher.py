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
from peerdistill.deploy.what import AVERAGE, EMA, ENSEMBLE, LEADER, check_what, peer_of
from peerdistill.errors import UserError
from peerdistill.runs.ensemble import ensemble_of
from peerdistill.runs.restore import restore
from peerdistill.runs.run import Run
from peerdistill.terms import Teacher


class _Found(NamedTuple):
    """A teacher as read from its source.

    Attributes:
        cohort: The teacher, or several peers that teach as their ensemble.
        card: The card of the leader.
        classes: Classes of its trained classifier; empty if it has none.
        ensemble: The ensemble of several peers that have classes.
    """

    cohort: Cohort
    card: LeaderCard
    classes: tuple[str, ...]
    ensemble: nn.Module | None = None


def load_teacher(source: str, data: Dataset, what: str = LEADER) -> Teacher:
    """Return a network of a run, or that of a ``.safetensors`` file, as a teacher of ``data``.

    Args:
        source: Folder of a run (its last epoch), or an exported file.
        data: Data of the student. The teacher receives them with the normalisation and size of its own data.
        what: The network of the run, as in :func:`peerdistill.runs.deployable.deployable`.

    Raises:
        UserError: The run, the file or the network does not exist, or has other classes or another number of channels.
    """
    teacher, classes = load_feature_teacher(source, data, what)
    if classes != data.class_names:
        raise UserError(
            f"teacher {source} was trained on different classes, or on the same classes in a different order"
        )
    return teacher


def load_feature_teacher(source: str, data: Dataset, what: str = LEADER) -> tuple[Teacher, tuple[str, ...]]:
    """Return a teacher with any classes, and the classes of its logits.

    The classes are empty if it has no trained classifier: a prototypical network alone, or an exported encoder.

    Raises:
        UserError: The run, the file or the network does not exist, or it has another number of channels.
    """
    # The random state is restored: the results of the student must not depend on the source of its teacher.
    with torch.random.fork_rng(devices=[]):
        found = _read(Path(source), what)
        if found.card.channels != data.channels:
            raise UserError(
                f"teacher {source} requires images with {found.card.channels} channels, the data have {data.channels}"
            )
        return _as_teacher(found, data), found.classes


def _as_teacher(found: _Found, data: Dataset) -> Teacher:
    card = found.card
    pixels = list(zip(data.mean, data.std, card.mean, card.std, strict=True))
    return Teacher(
        found.cohort,
        scale=[std / own_std for _, std, _, own_std in pixels],
        shift=[(mean - own_mean) / own_std for mean, _, own_mean, own_std in pixels],
        size=card.image_size,
        ensemble=found.ensemble,
    )


def _read(source: Path, what: str) -> _Found:
    if not source.exists():
        raise UserError(f"there is no teacher {source}: it must be a run folder or an exported .safetensors file")
    return _of_run(Run(source), what) if source.is_dir() else _of_file(source, what)


def _of_file(file: Path, what: str) -> _Found:
    if what != LEADER:
        raise UserError(f"teacher_what {what} needs the folder of a run: the file {file} holds one network")
    backbone, network, card = open_leader(file)
    return _Found(_alone(backbone, network, card), card, card.class_names)


def _of_run(run: Run, what: str) -> _Found:
    check_what(what, run.config.cohort.peers)
    if what == AVERAGE:
        raise UserError(f"teacher_what {what} needs a file: peerdistill export {run.path} --what {what}")
    restored = restore(run)
    card, classes = restored.card, restored.card.class_names
    if card.is_encoder and methods.find(run.config.method).uses_logits:
        classes = tuple(restored.state["notes"]["data"]["class_names"])
    if what == ENSEMBLE:
        ensemble = ensemble_of(run.config, restored.cohort, restored.state) if classes else None
        return _Found(restored.cohort, card, classes, ensemble)
    if what == EMA:
        return _Found(restored.averaged(), card, classes)
    number = peer_of(what)
    number = restored.cohort.peers - 1 if number is None else number
    return _Found(_alone(restored.cohort.backbones[number], restored.cohort.peer(number), card), card, classes)


def _alone(backbone: Backbone, network: nn.Module, card: LeaderCard) -> Cohort:
    """Return a plain network as a cohort of one peer; an encoder gets a classifier that is not trained."""
    cohort = Cohort(backbone, len(card.class_names), peers=1, sharing="network")
    cohort.networks[0].load_state_dict(network.state_dict(), strict=not card.is_encoder)
    return cohort
