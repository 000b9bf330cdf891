"""Peers that start late from the leader's weights, and steps in which only the leader learns."""

from itertools import chain

import torch
from torch import Tensor, nn

from peerdistill.backbones import Backbone
from peerdistill.cohort import Cohort
from peerdistill.errors import UserError
from peerdistill.rng import Draws, keyed_generator
from peerdistill.training.config import GrowthConfig, TrainingConfig


class LeaderSteps:
    """Which steps only the leader takes. It depends on epoch and step alone, so a resumed run needs no further state.

    Before epoch :attr:`first_epoch` these are all steps. From then on, all peers take the first step and every
    ``config.distill_every``-th step after it.

    Args:
        config: Options of the training.
        steps_per_epoch: Optimizer steps of an epoch.

    Attributes:
        first_epoch: The first epoch, counted from 0, in which all peers learn.

    Example:
        >>> config = TrainingConfig(epochs=4, growth=GrowthConfig(start=0.5), distill_every=3)
        >>> steps = LeaderSteps(config, steps_per_epoch=5)
        >>> ["leader" if steps.is_alone(epoch, 0) else "all" for epoch in range(4)]
        ['leader', 'leader', 'all', 'leader']
        >>> steps.count(20)  # of the whole training
        16
    """

    def __init__(self, config: TrainingConfig, steps_per_epoch: int):
        self.first_epoch = config.growth.epochs_of(config.epochs)
        self._every = config.distill_every
        self._per_epoch = steps_per_epoch

    def is_alone(self, epoch: int, step: int) -> bool:
        """Return whether only the leader takes a step. Epochs, and steps in an epoch, are counted from 0."""
        return epoch < self.first_epoch or (self.epoch_of_peers(epoch) * self._per_epoch + step) % self._every != 0

    def epoch_of_peers(self, epoch: int) -> int:
        """Return how many epochs all peers have learned before ``epoch``; the method's weights ramp up over these."""
        return max(0, epoch - self.first_epoch)

    def grows_before(self, epoch: int, step: int) -> bool:
        """Return whether the other peers start from the leader's weights before a step."""
        return epoch == self.first_epoch > 0 == step

    def count(self, steps: int) -> int:
        """Return how many of the first ``steps`` steps of the training only the leader takes."""
        others = max(0, steps - self.first_epoch * self._per_epoch)
        return steps - -(-others // self._every)


def check_can_grow(cohort: Cohort) -> None:
    """Raise UserError if the peers of a cohort cannot start from the leader's weights."""
    if cohort.peers == 1:
        raise UserError("growth.start needs at least 2 peers, found 1: set growth.start to 0")
    if any(backbone is not cohort.backbones[-1] for backbone in cohort.backbones):
        raise UserError(
            "growth.start copies the leader's weights into the other peers, and peer_backbones gives them other "
            "networks: set growth.start to 0, or leave out peer_backbones"
        )


@torch.no_grad()
def grow_peers(cohort: Cohort, config: GrowthConfig, seed: int) -> None:
    """Copy the leader's weights and buffers into the other peers, and add noise to the weights.

    Copies with equal weights would get equal gradients in every loss that treats peers alike, and stay equal. Each
    weight tensor of a copy therefore gets normal noise of ``config.noise`` times the standard deviation of its values
    (a tensor of equal values gets none), and what ``config.fresh`` names keeps its own initial weights. Stages that
    peers share with the leader do not change. A copy that other peers share gets noise once.

    Args:
        cohort: Peers with the same backbone.
        config: How the copies differ from the leader.
        seed: Seed of the noise. The global generators are not used.
    """
    leader = cohort.networks[-1]
    weights = dict(chain(leader.named_parameters(), leader.named_buffers()))
    done = {id(tensor) for tensor in weights.values()}
    for peer, (network, backbone) in enumerate(zip(cohort.networks[:-1], cohort.backbones, strict=False)):
        draws = keyed_generator(Draws.GROWTH, seed, peer)
        for name, tensor in chain(network.named_parameters(), network.named_buffers()):
            if id(tensor) not in done and not _is_fresh(name, backbone, config):
                tensor.copy_(weights[name])
                if isinstance(tensor, nn.Parameter) and tensor.requires_grad:
                    tensor.add_(_noise(tensor, config.noise, draws))
            done.add(id(tensor))


def _is_fresh(name: str, backbone: Backbone, config: GrowthConfig) -> bool:
    """Return whether a tensor of a network keeps its initial values."""
    in_classifier = name.startswith(f"{backbone.classifier}.")
    in_last_stage = backbone.stages[-1].contains(name)
    return {"nothing": False, "classifier": in_classifier, "stage": in_classifier or in_last_stage}[config.fresh]


def _noise(weights: Tensor, relative: float, draws: torch.Generator) -> Tensor:
    # Drawn on the CPU, so that every device gets the same noise.
    normal = torch.randn(weights.shape, generator=draws, dtype=weights.dtype).to(weights.device)
    return relative * weights.std(correction=0) * normal
