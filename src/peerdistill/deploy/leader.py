"""The leader back from its safetensors file, as a plain module."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from peerdistill.deploy.card import LeaderCard
from peerdistill.errors import UserError

if TYPE_CHECKING:
    from peerdistill.backbones import Backbone

# Of the classifier that an encoder's network is made with and loses.
_UNUSED_OUTPUTS = 2


def load_leader(path: Path | str, network: nn.Module | None = None) -> tuple[nn.Module, LeaderCard]:
    """Return the leader of a ``.safetensors`` file in evaluation mode, and its card.

    The module takes normalised images, (batch, channels, height, width), as in training.

    Args:
        path: The file.
        network: A network of your own code, made as for training (for an encoder, with ``nn.Identity`` for its
            classifier), which the weights are loaded into. Files never decide which code is run: they name
            networks of peerdistill, timm and torchvision alone.

    Raises:
        UserError: If the file is missing, no safetensors file, holds no leader card, names an unknown backbone or one
            of the user's own code without ``network``, or holds weights of another network.
    """
    if network is None:
        _, network, card = open_leader(path)
        return network, card
    card, weights = _read(Path(path))
    return _filled(network, card, weights, path), card


def open_leader(path: Path | str) -> tuple["Backbone", nn.Module, LeaderCard]:
    """Return backbone, network and card of a leader's file; the backbone of an encoder has a classifier all the same.

    Raises:
        UserError: As :func:`load_leader`.
    """
    card, weights = _read(Path(path))
    # Fresh weights are drawn only to be replaced: the caller's random numbers must not depend on that.
    with torch.random.fork_rng(devices=[]):
        backbone = _backbone_of(card, path)
        network = backbone.network()
    if card.is_encoder:
        network.set_submodule(backbone.classifier, nn.Identity())
    return backbone, _filled(network, card, weights, path), card


def first_difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[str, str, str] | None:
    """Return the first name whose tensors differ in shape, and in words what was found there and what was expected."""
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (found, expected)]
    if shapes[0] == shapes[1]:
        return None
    name = min(name for name, _ in shapes[0].items() ^ shapes[1].items())
    was, should = (f"of shape {tuple(side[name])}" if name in side else "absent" for side in shapes)
    return name, was, should


def _filled(network: nn.Module, card: LeaderCard, weights: Mapping[str, Tensor], source: Path | str) -> nn.Module:
    if difference := first_difference(weights, network.state_dict()):
        name, was, should = difference
        raise UserError(f"{source} holds no weights of {card.backbone}: '{name}' is {was} and should be {should}")
    network.load_state_dict(weights, strict=True)
    return network.eval()


def _read(path: Path) -> tuple[LeaderCard, dict[str, Tensor]]:
    metadata, weights = read_safetensors(path)
    return LeaderCard.from_metadata(metadata, path), weights


def _backbone_of(card: LeaderCard, source: Path | str) -> "Backbone":
    from peerdistill import backbones

    where, colon, _ = card.backbone.partition(":")
    if colon and where not in ("timm", "torchvision"):
        raise UserError(
            f"the leader in {source} is a network of own code, {card.backbone}: "
            "make it in Python and give it to peerdistill.load_leader"
        )
    classes = len(card.class_names) or _UNUSED_OUTPUTS
    return backbones.build(card.backbone, classes=classes, in_channels=card.channels, image_size=card.image_size)


def read_safetensors(path: Path) -> tuple[dict[str, str] | None, dict[str, Tensor]]:
    """Return metadata and tensors of a file.

    Raises:
        UserError: If it is missing or no safetensors file.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist or is no file")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file: {error}") from error
