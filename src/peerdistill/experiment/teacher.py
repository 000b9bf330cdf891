"""A teacher from a run or from an exported leader."""

from pathlib import Path

import torch
from torch import nn

from peerdistill.backbones import Backbone
from peerdistill.cohort import Cohort
from peerdistill.data import Dataset
from peerdistill.deploy import LeaderCard, backbone_of, load_leader
from peerdistill.errors import UserError
from peerdistill.experiment.restore import restore
from peerdistill.experiment.run import Run
from peerdistill.terms import Teacher


def load_teacher(source: str, data: Dataset) -> Teacher:
    """Return the leader of a run, or of a ``.safetensors`` file, as a teacher of ``data``.

    Args:
        source: Folder of a run (its last epoch), or an exported file.
        data: What the student learns from. The teacher sees it normalised as its own data was.

    Raises:
        UserError: Where there is no such run or file, or it knows other classes or another number of channels.
    """
    # Weights are drawn only to be replaced: the student's numbers must not depend on where its teacher comes from.
    with torch.random.fork_rng(devices=[]):
        return _load(source, data)


def _load(source: str, data: Dataset) -> Teacher:
    backbone, network, card = _read(Path(source))
    if card.class_names != data.class_names:
        raise UserError(f"teacher {source} does not know the classes of the data, or in another order")
    if card.channels != data.channels:
        raise UserError(f"teacher {source} takes images of {card.channels} channels, the data has {data.channels}")
    cohort = Cohort(backbone, len(card.class_names), peers=1, sharing="network")
    cohort.networks[0].load_state_dict(network.state_dict())
    pixels = list(zip(data.mean, data.std, card.mean, card.std, strict=True))
    return Teacher(
        cohort,
        scale=[std / own_std for _, std, _, own_std in pixels],
        shift=[(mean - own_mean) / own_std for mean, _, own_mean, own_std in pixels],
    )


def _read(source: Path) -> tuple[Backbone, nn.Module, LeaderCard]:
    if source.is_dir():
        restored = restore(Run(source))
        return restored.cohort.backbone, restored.cohort.leader(), restored.card
    network, card = load_leader(source)
    return backbone_of(card, source), network, card
