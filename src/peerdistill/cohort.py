"""A cohort: M peers grown from one backbone, which share as many of its first stages as they are told to.

Axes: M peers, B batch, C classes, D feature width.
"""

from collections.abc import Sequence
from copy import deepcopy
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill import backbones
from peerdistill.backbones import Backbone
from peerdistill.errors import UserError
from peerdistill.sharing import copies_per_stage


class CohortOutput(NamedTuple):
    """What all peers say of a batch.

    Attributes:
        logits: Class scores of every peer, the leader's last.
        features: Penultimate features of every peer.
        stem: Output of the last stage that all peers share; the images themselves where they share none.
        ensemble: Class scores of the peers together: the mean of their logits (eq. 4), until a method puts its own.
        images: The images.
        teacher: What a teacher says of the images, where a method has one.
    """

    logits: Float[Tensor, "peers batch classes"]
    features: Float[Tensor, "peers batch width"]
    stem: Float[Tensor, "batch ..."]
    ensemble: Float[Tensor, "batch classes"]
    images: Tensor | None = None
    teacher: "CohortOutput | None" = None


class Cohort(nn.Module):
    """M peers of one architecture; the last one is the leader.

    Every peer is a whole stock network. Peers that share a stage hold the very same submodule, so parameters,
    optimiser and checkpoints count it once, and any peer taken out alone is the stock network again.

    Args:
        backbone: A name of ``peerdistill.backbones.names()``, or a backbone of your own.
        classes: Number of classes C.
        peers: Number of peers M, at least 1. Each starts from its own random weights.
        sharing: "network" (nothing shared), "branch" (the first stages shared), "tree" (peers part stage by stage),
            or the number of copies of each stage, for example ``[1, 2, 4, 4]``.
        share_until: For "branch" and "tree", the name of the last stage shared by all; the backbone's own by default.
        in_channels: Channels of the images.
        split_gradients: What a shared stage learns from the stages above it: the "sum" of their gradients, as
            autograd has it, or their "mean", so that it learns no faster for having many children.

    Raises:
        UserError: For an unknown backbone, sharing or stage, and for counts that form no tree.

    Source: the paper, section 3.1; the tree and the mean of gradients are those of Song and Chai, NeurIPS 2018.
    """

    def __init__(
        self,
        backbone: str | Backbone,
        classes: int,
        peers: int = 4,
        sharing: str | Sequence[int] = "branch",
        *,
        share_until: str | None = None,
        in_channels: int = 3,
        split_gradients: Literal["sum", "mean"] = "sum",
    ):
        super().__init__()
        if peers < 1:
            raise UserError(f"peers must be at least 1, found {peers}")
        if isinstance(backbone, str):
            backbone = backbones.build(backbone, classes=classes, in_channels=in_channels)
        self.backbone = backbone
        self.classes = classes
        self.peers = peers
        self.copies = copies_per_stage(backbone, peers, sharing, share_until)
        self.split_gradients = split_gradients
        self.networks = nn.ModuleList(backbone.network() for _ in range(peers))
        self._share()
        self._protect_splits()

    def _share(self) -> None:
        for stage, copies in zip(self.backbone.stages, self.copies, strict=True):
            for peer, network in enumerate(self.networks):
                owner = self.networks[self._owner(peer, copies)]
                for module in stage.modules:
                    network.set_submodule(module, owner.get_submodule(module))

    def _protect_splits(self) -> None:
        """Let no copy of a stage change in place what other copies read."""
        for stage, before, copies in zip(self.backbone.stages, (1, *self.copies), self.copies, strict=False):
            for network in self.networks if copies > before else ():
                first = _first_leaf(network.get_submodule(stage.modules[0]))
                if getattr(first, "inplace", False):
                    first.inplace = False  # pyright: ignore[reportArgumentType]

    def _owner(self, peer: int, copies: int) -> int:
        """Return the first of the peers that share a stage of ``copies`` copies with ``peer``."""
        group = self.peers // copies
        return peer // group * group

    @property
    def width(self) -> int:
        """Width D of the penultimate features."""
        classifier = self.networks[0].get_submodule(self.backbone.classifier)
        assert isinstance(classifier, nn.Linear)
        return classifier.in_features

    @property
    def stem_channels(self) -> int:
        """Channels of the shared stem's output, found by a pass that computes shapes alone."""
        x = torch.zeros(1, *self.backbone.image_shape, device="meta")
        network = deepcopy(self.networks[0]).to("meta").eval()
        for stage, copies in zip(self.backbone.stages, self.copies, strict=True):
            if copies == 1:
                x = stage(network, x)
        return x.shape[1]

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> CohortOutput:
        """Run every peer on ``images``; a shared stage runs once for all peers that share it."""
        stem = images
        states = {0: images}  # owner of a copy -> what that copy put out
        previous = 1
        for stage, copies in zip(self.backbone.stages, self.copies, strict=True):
            states = self._handed_up(states, copies // previous)
            states = {
                owner: stage(self.networks[owner], states[self._owner(owner, previous)])
                for owner in range(0, self.peers, self.peers // copies)
            }
            previous = copies
            if copies == 1:
                stem = states[0]
        states = self._handed_up(states, self.peers // previous)
        features = [states[self._owner(peer, previous)].flatten(1) for peer in range(self.peers)]
        logits = [
            network.get_submodule(self.backbone.classifier)(feature)
            for network, feature in zip(self.networks, features, strict=True)
        ]
        logits_MBC = torch.stack(logits)
        return CohortOutput(logits_MBC, torch.stack(features), stem, logits_MBC.mean(0), images)

    def _handed_up(self, states: dict[int, Tensor], children: int) -> dict[int, Tensor]:
        """Return the states as the next stage reads them, ``children`` copies each."""
        if children == 1 or self.split_gradients == "sum":
            return states
        return {owner: _DividedGradient.apply(state, children) for owner, state in states.items()}

    def peer(self, index: int) -> nn.Module:
        """Return a copy of one peer as a plain network in evaluation mode, its ``state_dict`` the stock one's.

        Raises:
            UserError: Where there is no peer ``index``, 0 to peers - 1.
        """
        if not 0 <= index < self.peers:
            raise UserError(f"there is no peer {index}: peers are numbered 0 to {self.peers - 1}")
        return deepcopy(self.networks[index]).eval()

    def leader(self) -> nn.Module:
        """Return a copy of the leader, the network to deploy: :meth:`peer` of the last peer."""
        return self.peer(self.peers - 1)


def _first_leaf(module: nn.Module) -> nn.Module:
    return next(leaf for leaf in module.modules() if next(leaf.children(), None) is None)


class _DividedGradient(torch.autograd.Function):
    """The identity, whose gradient is divided by a number."""

    @staticmethod
    def forward(ctx, x, divisor):
        ctx.divisor = divisor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *upstream):
        return upstream[0] / ctx.divisor, None
