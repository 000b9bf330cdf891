"""What a run deploys: its leader, its ensemble, one of its peers, or an average of weights, as one plain network."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn

from peerdistill.backbones import Backbone
from peerdistill.deploy import LeaderCard
from peerdistill.deploy.ensemble import EnsembleNetwork
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import Scorer, torch_scorer
from peerdistill.deploy.what import AVERAGE, EMA, ENSEMBLE, LEADER, check_what, peer_of
from peerdistill.runs.average import average_of
from peerdistill.runs.ensemble import ensemble_of
from peerdistill.runs.restore import Restored
from peerdistill.runs.run import Run
from peerdistill.runs.task import Task
from peerdistill.runs.tasks import load_task_of


@dataclass(frozen=True, eq=False)
class Deployable:
    """A network that can be deployed.

    Attributes:
        network: Maps normalised images to logits, or to features if the card names no classes; in evaluation mode.
        card: What a file of it must know.
    """

    network: nn.Module
    card: LeaderCard

    def scorer(self) -> Scorer:
        """Return a function that scores pictures as an exported file does."""
        card = self.card
        return torch_scorer(Normalised(self.network, card.mean, card.std, card.temperature).eval())


def deployable(run: Run, restored: Restored, what: str = LEADER, *, task: Task | None = None) -> Deployable:
    """Return one of the networks of a run.

    Args:
        run: The run.
        restored: One of its checkpoints. Its cohort is not changed.
        what: "leader"; "ensemble", all peers with the ensemble of the method; "peer:K", peer K of 0 to peers - 1;
            "ema", the moving average of the leader's weights; or "average", see :func:`peerdistill.runs.average_of`.
        task: The task of the run, if it is loaded. Only "average" needs its data.

    Raises:
        UserError: The run has no such network; for "average", also if its data are missing or have changed.
    """
    config = run.config.cohort
    check_what(what, config.peers)
    card = replace(restored.card, what=what, method=run.config.method, peers=config.peers)
    number = peer_of(what)
    if number is not None:
        peers = (*(config.peer_backbones or [config.backbone] * (config.peers - 1)), config.backbone)
        network = _encoder_if(card, restored.cohort.peer(number), restored.cohort.backbones[number])
        return Deployable(network, replace(card, backbone=peers[number]))
    return Deployable(_NETWORKS[what](run, restored, task), card)


def _leader(run: Run, restored: Restored, task: Task | None) -> nn.Module:
    del run, task
    return restored.leader()


def _ensemble(run: Run, restored: Restored, task: Task | None) -> nn.Module:
    del task
    # An ensemble of encoders is one encoder: the features of all peers side by side.
    ensemble = None if restored.card.is_encoder else ensemble_of(run.config, restored.cohort, restored.state)
    return EnsembleNetwork(restored.cohort, ensemble)


def _ema(run: Run, restored: Restored, task: Task | None) -> nn.Module:
    del run, task
    return restored.ema()


def _average(run: Run, restored: Restored, task: Task | None) -> nn.Module:
    average = average_of(run, restored, (task or load_task_of(run)).data)
    return _encoder_if(restored.card, average, restored.cohort.backbone)


_NETWORKS: dict[str, Callable[[Run, Restored, Task | None], nn.Module]] = {
    LEADER: _leader,
    ENSEMBLE: _ensemble,
    EMA: _ema,
    AVERAGE: _average,
}


def _encoder_if(card: LeaderCard, network: nn.Module, backbone: Backbone) -> nn.Module:
    """Return a network; if the card names no classes, without its classifier."""
    if card.is_encoder:
        network.set_submodule(backbone.classifier, nn.Identity())
    return network
