"""The leader back from its safetensors file, as a plain module."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import torch
from safetensors import safe_open
from torch import Tensor, nn

from peerdistill.deploy.card import LeaderCard
from peerdistill.deploy.normalised import Normalised
from peerdistill.errors import UserError

if TYPE_CHECKING:
    from peerdistill.backbones import Backbone

# Of the classifier that an encoder's network is made with and loses.
_UNUSED_OUTPUTS = 2


def load_leader(path: Path | str, network: nn.Module | None = None) -> tuple[Normalised, LeaderCard]:
    """Return the leader of a ``.safetensors`` file in evaluation mode, and its card.

    The module takes images as :meth:`LeaderCard.images` prepares them, (batch, channels, height, width) with pixels in
    0..1, normalises them and returns logits, (batch, classes), or an encoder's features, (batch, width). Its
    ``network`` is the plain network, which takes images that are normalised already.

    Args:
        path: The file.
        network: A network of your own code, made as for training (for an encoder, with ``nn.Identity`` for its
            classifier), which the weights are loaded into. Files never decide which code is run: they name
            networks of peerdistill, timm and torchvision alone.

    Raises:
        UserError: If the file is missing, no safetensors file, holds no leader card, names an unknown backbone or one
            of the user's own code without ``network``, or holds weights of another network or that are not finite.

    Example:
        >>> leader, card = load_leader("leader.safetensors")  # doctest: +SKIP
        >>> logits = leader(torch.from_numpy(card.images(["photo.jpg"])))  # doctest: +SKIP
    """
    if network is None:
        _, network, card = open_leader(path)
    else:
        card, weights = _read(Path(path))
        network = _filled(network, card, weights, path)
    return Normalised(network, card.mean, card.std).eval(), card


def open_leader(path: Path | str) -> tuple["Backbone", nn.Module, LeaderCard]:
    """Return backbone, plain network and card of a leader's file.

    The network takes normalised images. The backbone of an encoder has a classifier all the same.

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


def not_finite(network: nn.Module) -> str | None:
    """Return the name of a parameter or buffer with a value that no trained network has; None where all are sound.

    Those are NaN and infinity. Only buffers may hold minus infinity, by which attention is masked.
    """
    parameters = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    for name, tensor in network.state_dict().items():
        allowed = tensor.isfinite() if name in parameters else tensor < torch.inf
        if not allowed.all():
            return name
    return None


def _filled(network: nn.Module, card: LeaderCard, weights: Mapping[str, Tensor], source: Path | str) -> nn.Module:
    own = network.state_dict()
    if difference := first_difference(weights, own):
        name, was, should = difference
        raise UserError(f"{source} holds no weights of {card.backbone}: '{name}' is {was} and should be {should}")
    for name, tensor in own.items():
        found = weights[name].dtype
        if found.is_floating_point != tensor.dtype.is_floating_point:
            raise UserError(f"{source} holds no weights of {card.backbone}: '{name}' is {found}, not {tensor.dtype}")
    network.load_state_dict(weights, strict=True)
    if name := not_finite(network):
        raise UserError(f"{source} holds values that are not finite in '{name}'")
    return network.eval()


def _read(path: Path) -> tuple[LeaderCard, dict[str, Tensor]]:
    metadata, weights = read_safetensors(path)
    return LeaderCard.from_metadata(metadata, path), weights


def _backbone_of(card: LeaderCard, source: Path | str) -> "Backbone":
    from peerdistill import backbones

    if backbones.is_user_code(card.backbone):
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
    except Exception as error:  # besides the reader's own, those of the system and of PyTorch
        raise UserError(f"{path} is no safetensors file: {shorten(str(error) or type(error).__name__, 200)}") from error
