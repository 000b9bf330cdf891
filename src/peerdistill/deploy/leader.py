"""The leader back from its safetensors file, as a plain module."""

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
    path = Path(path)
    metadata, weights = read_safetensors(path)
    card = LeaderCard.from_metadata(metadata, path)
    if network is None:
        # Fresh weights are drawn only to be replaced: the caller's random numbers must not depend on that.
        with torch.random.fork_rng(devices=[]):
            network = _fresh(card, path)
    expected = {name: tensor.shape for name, tensor in network.state_dict().items()}
    found = {name: tensor.shape for name, tensor in weights.items()}
    if expected != found:
        name = min(name for name, _ in expected.items() ^ found.items())
        raise UserError(
            f"{path} holds no weights of {card.backbone}: '{name}' is {_shape(found, name)} and "
            f"should be {_shape(expected, name)}"
        )
    network.load_state_dict(weights, strict=True)
    return network.eval(), card


def _fresh(card: LeaderCard, source: Path) -> nn.Module:
    backbone = backbone_of(card, source)
    network = backbone.network()
    if card.is_encoder:
        network.set_submodule(backbone.classifier, nn.Identity())
    return network


def backbone_of(card: LeaderCard, source: Path) -> "Backbone":
    """Return the backbone that a leader's card names; that of an encoder has a classifier all the same.

    Raises:
        UserError: If there is none of that name, or it is of somebody's own code.
    """
    from peerdistill import backbones

    where, colon, _ = card.backbone.partition(":")
    if colon and where not in ("timm", "torchvision"):
        raise UserError(
            f"the leader in {source} is a network of own code, {card.backbone}: "
            "make it in Python and give it to peerdistill.load_leader"
        )
    classes = len(card.class_names) or _UNUSED_OUTPUTS
    return backbones.build(card.backbone, classes=classes, in_channels=card.channels, image_size=card.image_size)


def _shape(shapes: dict[str, torch.Size], name: str) -> str:
    return f"of shape {tuple(shapes[name])}" if name in shapes else "absent"


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
