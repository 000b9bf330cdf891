"""Fine-tuning: peers that are initialised with pretrained weights.

All peers then have the same weights except for their classifiers, which are initialised at random. Peers differ by
these classifiers, by the randomness of training (dropout, stochastic depth), and by the embedding heads or gates of the
method.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from peerdistill.backbones import Backbone
from peerdistill.backbones.adapters.timm_names import WEIGHTS
from peerdistill.cohort import Cohort
from peerdistill.config.config import CohortConfig
from peerdistill.deploy import LeaderCard, first_difference, formats, not_finite, read_safetensors
from peerdistill.errors import UserError
from peerdistill.runs.restore import restore
from peerdistill.runs.run import Run

# Logits are then near 0 for every architecture. timm draws large weights for EfficientNet with few classes:
# with 5 classes the first loss is 9, and its gradients disturb the pretrained features.
_CLASSIFIER_STD = 0.01


def start_from_weights(cohort: Cohort, config: CohortConfig) -> None:
    """Initialise all peers with the weights that ``config`` names, if any, and their classifiers with small weights.

    The weights of each classifier are drawn with a standard deviation of 0.01, the biases are 0.

    Raises:
        UserError: The weights do not exist, cannot be downloaded, or belong to another network.
    """
    if config.weights:
        _, weights = read_weights(config.weights)
        for network in cohort.networks:
            _load(network, weights, cohort.backbone, config.weights)
    if config.pretrained:
        fetched: dict[str, dict[str, Tensor]] = {}
        for backbone, network in zip(cohort.backbones, cohort.networks, strict=True):
            if backbone.name not in fetched:
                fetched[backbone.name] = _fetched(backbone)
            # A network with auxiliary outputs has weights that a peer does not have.
            own = network.state_dict()
            known = {name: tensor for name, tensor in fetched[backbone.name].items() if name in own}
            _load(network, known, backbone, f"the download for {backbone.name}")
    if config.weights or config.pretrained:
        for backbone, network in zip(cohort.backbones, cohort.networks, strict=True):
            _start_classifier(network.get_submodule(backbone.classifier))


def read_weights(source: str) -> tuple[LeaderCard | None, dict[str, Tensor]]:
    """Return the card and the weights of a leader.

    Args:
        source: Folder of a run (the leader of its last epoch), a ``.safetensors`` file, or a folder in hub layout. The
            card of a file that was not exported by peerdistill is None.

    Raises:
        UserError: The run or the file is missing or damaged.
    """
    file = Path(source)
    if formats.find("timm").recognises(file):
        file = file / WEIGHTS
    elif file.is_dir():
        with torch.random.fork_rng(devices=[]):  # the weights of the new run must not depend on those that are replaced
            restored = restore(Run(source))
        return restored.card, restored.leader().state_dict()
    if not file.exists():
        raise UserError(f"there are no weights {file}: they must be a run folder, a .safetensors file or a hub folder")
    metadata, weights = read_safetensors(file)
    return LeaderCard.from_metadata(metadata, file) if LeaderCard.is_in(metadata) else None, weights


def _fetched(backbone: Backbone) -> dict[str, Tensor]:
    if backbone.pretrained is None:
        raise UserError(f"{backbone.name} has no pretrained weights: use a timm: or torchvision: network")
    try:
        with torch.random.fork_rng(devices=[]):
            return backbone.pretrained().state_dict()
    except UserError:
        raise
    except Exception as error:  # a library may raise anything during a download
        cause = " ".join(str(error).split())
        raise UserError(f"the pretrained weights of {backbone.name} cannot be downloaded: {cause}") from error


def _load(network: nn.Module, weights: Mapping[str, Tensor], backbone: Backbone, source: str) -> None:
    body = _body(weights, backbone)
    if difference := first_difference(body, _body(network.state_dict(), backbone)):
        name, was, should = difference
        raise UserError(f"{source} does not contain weights of {backbone.name}: '{name}' is {was}, must be {should}")
    network.load_state_dict(body, strict=False)
    if name := not_finite(network):
        raise UserError(f"{source} contains values that are not finite in '{name}'")


def _start_classifier(classifier: nn.Module) -> None:
    assert isinstance(classifier, nn.Linear)  # every backbone has one
    nn.init.normal_(classifier.weight, std=_CLASSIFIER_STD)
    if classifier.bias is not None:
        nn.init.zeros_(classifier.bias)


def _body(weights: Mapping[str, Tensor], backbone: Backbone) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if not name.startswith(f"{backbone.classifier}.")}
