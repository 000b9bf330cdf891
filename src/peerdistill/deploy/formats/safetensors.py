"""The leader's weights under the names of the stock network."""

import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from peerdistill import backbones
from peerdistill.deploy.formats.format import Check, Format, Leader

if TYPE_CHECKING:
    from torch import nn

    from peerdistill.deploy.formats.format import Opened


def write_safetensors(leader: Leader, path: Path) -> None:
    """Write the ``state_dict`` of the network, and the card as metadata."""
    from safetensors.torch import save

    weights = {name: tensor.contiguous() for name, tensor in leader.network.state_dict().items()}
    # `save_file` ignores the umask: only the owner can read its files.
    path.write_bytes(save(weights, metadata=leader.card.to_metadata()))


def open_safetensors(path: Path, network: "nn.Module | None" = None) -> "Opened":
    """Return the scorer and the card of a file; see :func:`peerdistill.load_leader`."""
    from peerdistill.deploy.leader import load_leader
    from peerdistill.deploy.scorers import torch_scorer

    loaded, card = load_leader(path, network)
    return torch_scorer(loaded), card


def verify_safetensors(leader: Leader, path: Path) -> Check:
    """Check that the outputs are equal; a network of the user's own code is filled from the file."""
    from peerdistill.deploy.verification import reproduces

    network = _emptied(leader.network) if backbones.is_user_code(leader.card.backbone) else None
    return reproduces(leader, path, partial(open_safetensors, network=network))


def _emptied(network: "nn.Module") -> "nn.Module":
    """Return a copy with all weights zero: a weight that the file lacks is then missing in the copy as well."""
    network = copy.deepcopy(network)
    for tensor in network.state_dict().values():
        tensor.zero_()
    return network


FORMAT = Format(
    name="safetensors",
    help="weights under the names of the stock network",
    suffix=".safetensors",
    write=write_safetensors,
    open=open_safetensors,
    verify=verify_safetensors,
    stock=True,
)
