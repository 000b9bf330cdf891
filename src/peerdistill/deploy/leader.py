"""The leader back from its safetensors file, as a plain module."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from peerdistill.deploy.card import LeaderCard
from peerdistill.errors import UserError


def load_leader(path: Path) -> tuple[nn.Module, LeaderCard]:
    """Return the leader of a ``.safetensors`` file in evaluation mode, and its card.

    The module takes normalised images, (batch, channels, height, width), as in training.

    Raises:
        UserError: If the file is missing, no safetensors file, holds no leader card, names an unknown
            backbone or holds weights of another network.
    """
    from peerdistill import backbones

    metadata, weights = _read(path)
    card = LeaderCard.from_metadata(metadata, path)
    backbone = backbones.build(card.backbone, classes=len(card.class_names), in_channels=card.channels)
    # Fresh weights are drawn only to be replaced: the caller's random numbers must not depend on that.
    with torch.random.fork_rng(devices=[]):
        network = backbone.network()
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


def _shape(shapes: dict[str, torch.Size], name: str) -> str:
    return f"of shape {tuple(shapes[name])}" if name in shapes else "absent"


def _read(path: Path) -> tuple[dict[str, str] | None, dict[str, Tensor]]:
    if not path.is_file():
        raise UserError(f"{path} does not exist or is no file")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise UserError(f"{path} is no safetensors file: {error}") from error
