"""Fine-tuning: peers that start from weights which were trained before.

Body and stem of all peers are the same then. What keeps peers apart is their classifiers, each drawn anew, and what
is random in training (dropout, stochastic depth); where embedding heads or gates are trained, theirs too.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from peerdistill.backbones import Backbone
from peerdistill.cohort import Cohort
from peerdistill.config.config import CohortConfig
from peerdistill.deploy import first_difference, not_finite, read_safetensors
from peerdistill.errors import UserError


def start_from_weights(cohort: Cohort, config: CohortConfig) -> None:
    """Give all peers the weights that ``config`` asks for, if any; classifiers stay as they were drawn.

    Raises:
        UserError: Where there are no such weights, they can't be fetched, or are those of another network.
    """
    if config.weights:
        _, weights = read_safetensors(Path(config.weights))
        for network in cohort.networks:
            _load(network, weights, cohort.backbone, config.weights)
    if config.pretrained:
        fetched: dict[str, dict[str, Tensor]] = {}
        for backbone, network in zip(cohort.backbones, cohort.networks, strict=True):
            if backbone.name not in fetched:
                fetched[backbone.name] = _fetched(backbone)
            # What was trained with further outputs has weights for them, which a peer does not have.
            own = network.state_dict()
            known = {name: tensor for name, tensor in fetched[backbone.name].items() if name in own}
            _load(network, known, backbone, f"what is offered for {backbone.name}")


def _fetched(backbone: Backbone) -> dict[str, Tensor]:
    if backbone.pretrained is None:
        raise UserError(f"{backbone.name} has no pretrained weights: they go with timm: and torchvision: networks")
    try:
        with torch.random.fork_rng(devices=[]):
            return backbone.pretrained().state_dict()
    except UserError:
        raise
    except Exception as error:  # whatever a library's download raises
        cause = " ".join(str(error).split())
        raise UserError(f"the pretrained weights of {backbone.name} can't be fetched: {cause}") from error


def _load(network: nn.Module, weights: Mapping[str, Tensor], backbone: Backbone, source: str) -> None:
    body = _body(weights, backbone)
    if difference := first_difference(body, _body(network.state_dict(), backbone)):
        name, was, should = difference
        raise UserError(f"{source} holds no weights of {backbone.name}: '{name}' is {was}, should be {should}")
    network.load_state_dict(body, strict=False)
    if name := not_finite(network):
        raise UserError(f"{source} holds values that are not finite in '{name}'")


def _body(weights: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.startswith(f"{backbone.classifier}.")}
