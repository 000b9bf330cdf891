"""The leader in a safetensors file as a plain module."""

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

# The network of an encoder is built with a classifier, which is then removed.
_UNUSED_OUTPUTS = 2


def load_leader(path: Path | str, network: nn.Module | None = None) -> tuple[Normalised, LeaderCard]:
    """Load the leader of a ``.safetensors`` file.

    The module takes images as :meth:`LeaderCard.images` returns them, (batch, channels, height, width) with pixels in
    0..1. It normalises them and returns logits, (batch, classes), or features, (batch, width), for an encoder. Its
    attribute ``network`` is the plain network, which takes normalised images.

    Args:
        path: The file.
        network: A network of your own code, built as for training (for an encoder, with ``nn.Identity`` as its
            classifier). The weights are loaded into it. A file never decides which code is run: it can name only
            networks of peerdistill, timm and torchvision.

    Returns:
        The leader in evaluation mode, and its card.

    Raises:
        UserError: If the file is missing, is not a safetensors file, has no leader card, names an unknown backbone or
            one of the user's own code without ``network``, or has weights of another network or values that are not
            finite.

    Example:
        >>> leader, card = peerdistill.load_leader("leader.safetensors")  # doctest: +SKIP
        >>> logits = leader(torch.from_numpy(card.images(["photo.jpg"])))  # doctest: +SKIP
    """
    if network is None:
        _, network, card = open_leader(path)
    else:
        card, weights = _read(Path(path))
        network = _filled(network, card, weights, path)
    return Normalised(network, card.mean, card.std, card.temperature).eval(), card


def open_leader(path: Path | str) -> tuple["Backbone", nn.Module, LeaderCard]:
    """Return the backbone, the plain network and the card of a leader's file.

    The network takes normalised images. The backbone of an encoder has a classifier, its network does not.

    Raises:
        UserError: As :func:`load_leader`.
    """
    card, weights = _read(Path(path))
    # Initial weights are drawn and then replaced; this must not change the caller's random state.
    with torch.random.fork_rng(devices=[]):
        backbone = _backbone_of(card, path)
        network = backbone.network()
    if card.is_encoder:
        network.set_submodule(backbone.classifier, nn.Identity())
    return backbone, _filled(network, card, weights, path), card


def first_difference(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[str, str, str] | None:
    """Return the first name whose tensors differ in shape, and a description of what was found and expected."""
    shapes = [{name: tensor.shape for name, tensor in tensors.items()} for tensors in (found, expected)]
    if shapes[0] == shapes[1]:
        return None
    name = min(name for name, _ in shapes[0].items() ^ shapes[1].items())
    was, should = (f"of shape {tuple(side[name])}" if name in side else "absent" for side in shapes)
    return name, was, should


def not_finite(network: nn.Module) -> str | None:
    """Return the name of a parameter or buffer with NaN or infinity, or None.

    Buffers may contain minus infinity, which masks attention.
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
        raise UserError(f"{source} does not hold weights of {card.backbone}: '{name}' is {was} and should be {should}")
    for name, tensor in own.items():
        found = weights[name].dtype
        if found.is_floating_point != tensor.dtype.is_floating_point:
            raise UserError(
                f"{source} does not hold weights of {card.backbone}: '{name}' is {found}, not {tensor.dtype}"
            )
    network.load_state_dict(weights, strict=True)
    if name := not_finite(network):
        raise UserError(f"{source} has values that are not finite in '{name}'")
    return network.eval()


def _read(path: Path) -> tuple[LeaderCard, dict[str, Tensor]]:
    metadata, weights = read_safetensors(path)
    return LeaderCard.from_metadata(metadata, path), weights


def _backbone_of(card: LeaderCard, source: Path | str) -> "Backbone":
    from peerdistill import backbones

    if backbones.is_user_code(card.backbone):
        raise UserError(
            f"the leader in {source} is a network of your own code, {card.backbone}: "
            "build it in Python and pass it to peerdistill.load_leader"
        )
    if backbones.has_source(card.backbone):
        raise UserError(f"{source} names the network {card.backbone}: a file may name an architecture, not its place")
    classes = len(card.class_names) or _UNUSED_OUTPUTS
    return backbones.build(card.backbone, classes=classes, in_channels=card.channels, image_size=card.image_size)


def read_safetensors(path: Path) -> tuple[dict[str, str] | None, dict[str, Tensor]]:
    """Return the metadata and the tensors of a file.

    Raises:
        UserError: If it is missing or not a safetensors file.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist or is not a file")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except Exception as error:  # errors of the reader, the system or PyTorch
        raise UserError(
            f"{path} is not a safetensors file; others such as .onnx and .pth are not read here: "
            f"{shorten(str(error) or type(error).__name__, 200)}"
        ) from error
