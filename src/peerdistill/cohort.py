"""A cohort: M peers, usually grown from one backbone, which share as many of its first stages as they are told to.

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
from peerdistill.numerics import divide_gradient
from peerdistill.sharing import BranchAt, check_peer_backbones, copies_per_stage


class CohortOutput(NamedTuple):
    """What all peers say of a batch.

    Attributes:
        logits: Class scores of every peer, the leader's last.
        features: Penultimate features of every peer; one tensor a peer where their widths differ.
        stem: Output of the last stage that all peers share; the images themselves where they share none.
        ensemble: Class scores of the peers together: the mean of their logits (eq. 4), until a method puts its own.
        images: The images.
        teacher: What a teacher says of the images, where a method has one.
    """

    logits: Float[Tensor, "peers batch classes"]
    features: Float[Tensor, "peers batch width"] | tuple[Float[Tensor, "batch _width"], ...]
    stem: Float[Tensor, "batch ..."]
    ensemble: Float[Tensor, "batch classes"]
    images: Tensor | None = None
    teacher: "CohortOutput | None" = None


def pooled(stem: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch channels"]:
    """Return the mean over all places: of (batch, channels, height, width), and of what transformers hand on.

    Those are tokens, (batch, tokens, channels), or a square (batch, side, side, channels).
    """
    square_first = stem.ndim == 4 and stem.shape[1] == stem.shape[2] != stem.shape[3]
    if stem.ndim == 3 or square_first:
        return stem.flatten(1, -2).mean(1)
    return stem.flatten(2).mean(-1)


class Cohort(nn.Module):
    """M peers; the last one is the leader.

    Every peer is a whole stock network. Peers that share a stage hold the very same submodules, so parameters,
    optimiser and checkpoints count them once, and any peer taken out alone is the stock network again.

    Args:
        backbone: A name that ``peerdistill.backbones.build`` takes, or a backbone of your own.
        classes: Number of classes C.
        peers: Number of peers M, at least 1. Each starts from its own random weights.
        sharing: "network" (nothing shared), "branch" (the first stages shared), "tree" (peers part stage by stage),
            or the number of copies of each stage, for example ``[1, 2, 4, 4]``.
        share_until: For "branch" and "tree", the name of the last stage shared by all.
        branch_at: For "branch" without ``share_until``: branches part "early", where those of MCL-OKD do, or "late",
            where those of ONE and OKDDip do. ``peerdistill.methods.find(NAME).cohort`` holds a method's choice.
        peer_backbones: Backbones of the M - 1 peers before the leader, where they differ from it. Such peers share
            nothing.
        in_channels: Channels of the images.
        image_size: Side of the images, for backbones by name: see ``peerdistill.backbones.build``.
        split_gradients: What a shared stage learns from the stages above it: the "sum" of their gradients, as
            autograd has it, or their "mean", so that it learns no faster for having many children.

    Raises:
        UserError: For an unknown backbone, sharing or stage, for counts that form no tree, and for sharing between
            peers of different backbones or of one that can't be split.

    Source: the paper, section 3.1; the tree and the mean of gradients are those of Song and Chai, NeurIPS 2018.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort
        >>> cohort = Cohort("resnet20", classes=10, peers=3, sharing="branch")
        >>> images = torch.rand(2, 3, 32, 32)
        >>> cohort(images).logits.shape  # (peers, batch, classes)
        torch.Size([3, 2, 10])
        >>> leader = cohort.leader()  # a plain ResNet-20, the network to deploy
        >>> leader(images).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        backbone: str | Backbone,
        classes: int,
        peers: int = 4,
        sharing: str | Sequence[int] = "branch",
        *,
        share_until: str | None = None,
        branch_at: BranchAt = "early",
        peer_backbones: Sequence[str | Backbone] | None = None,
        in_channels: int = 3,
        image_size: int | None = None,
        split_gradients: Literal["sum", "mean"] = "sum",
    ):
        super().__init__()
        if peers < 1:
            raise UserError(f"peers must be at least 1, found {peers}")
        if peer_backbones:
            check_peer_backbones(peer_backbones, peers, sharing)

        def built(one: str | Backbone) -> Backbone:
            if isinstance(one, Backbone):
                return one
            return backbones.build(one, classes=classes, in_channels=in_channels, image_size=image_size)

        self.backbone = built(backbone)
        self.backbones = (*map(built, peer_backbones or [self.backbone] * (peers - 1)), self.backbone)
        self.classes = classes
        self.peers = peers
        if peer_backbones:
            self.copies = (peers,) * max(len(one.stages) for one in self.backbones)
        else:
            self.copies = copies_per_stage(self.backbone, peers, sharing, share_until, branch_at)
        self.split_gradients = split_gradients
        self.networks = nn.ModuleList(one.network() for one in self.backbones)
        self._share()
        # Whether a copy of a stage changes its input in place, learned when it runs: by owner, depth and mode.
        self._writes: dict[tuple[int, int, bool], bool] = {}

    def _share(self) -> None:
        for depth, stage in enumerate(self.backbone.stages):
            for peer, network in enumerate(self.networks):
                owner = self._owner(peer, depth)
                for path in stage.modules if owner != peer else ():
                    parent, _, attribute = path.rpartition(".")
                    held = getattr(self.networks[owner].get_submodule(parent), attribute)
                    setattr(network.get_submodule(parent), attribute, held)

    def _owner(self, peer: int, depth: int) -> int:
        """Return the first of the peers that share a stage with ``peer``."""
        group = self.peers // self.copies[depth]
        return peer // group * group

    def _children(self, depth: int) -> int:
        """Return how many copies of a stage read one copy of the stage below, or the images.

        Above the last stage there are the classifiers, one a peer.
        """
        return (*self.copies, self.peers)[depth] // (1, *self.copies)[depth]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width D of every peer's penultimate features."""
        pairs = zip(self.networks, self.backbones, strict=True)
        classifiers = [network.get_submodule(backbone.classifier) for network, backbone in pairs]
        return tuple(classifier.in_features for classifier in classifiers if isinstance(classifier, nn.Linear))

    @property
    def width(self) -> int:
        """Width D of the leader's penultimate features."""
        return self.widths[-1]

    @property
    def stem_channels(self) -> int:
        """Channels of the shared stem's output."""
        network = deepcopy(self.networks[-1]).to("meta").eval()
        x = torch.zeros(2, *self.backbone.image_shape, device="meta")
        for stage, copies in zip(self.backbone.stages, self.copies, strict=True):
            if copies == 1:
                x = stage(network, x)
        return pooled(x).shape[1]

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> CohortOutput:
        """Run every peer on ``images``; a shared stage runs once for all peers that share it."""
        outputs: dict[tuple[int, int], Tensor] = {}  # of each copy of each stage
        stem = images
        features, logits = [], []
        for peer, (network, backbone) in enumerate(zip(self.networks, self.backbones, strict=True)):
            x = images
            for depth in range(len(backbone.stages)):
                copy = (depth, self._owner(peer, depth))
                if copy not in outputs:
                    outputs[copy] = self._run(copy, network, x)
                x = outputs[copy]
                if self.copies[depth] == 1:
                    stem = x
            features.append(self._divided(x.flatten(1), len(self.copies)))
            logits.append(network.get_submodule(backbone.classifier)(features[-1]))
        logits_MBC = torch.stack(logits)
        one_width = len({feature.shape for feature in features}) == 1
        return CohortOutput(
            logits_MBC, torch.stack(features) if one_width else tuple(features), stem, logits_MBC.mean(0), images
        )

    def _run(self, copy: tuple[int, int], network: nn.Module, x: Tensor) -> Tensor:
        """Run one copy of a stage; where it writes to its input, on a copy of what others read too."""
        depth, owner = copy
        stage = self.backbones[owner].stages[depth]
        if self._children(depth) == 1:
            return stage(network, x)
        x = self._divided(x, depth)
        key = (owner, depth, network.training)
        if self._writes.get(key) is False:
            # As with a copy, autograd adds up a branch's gradients before those of different branches: the same sums.
            return stage(network, x.view_as(x))
        own = x.clone()
        if own.is_inference():  # such tensors do not tell
            return stage(network, own)
        version = own._version
        output = stage(network, own)
        self._writes[key] = own._version != version
        return output

    def _divided(self, x: Tensor, depth: int) -> Tensor:
        """Return ``x`` as one of several stages reads it; with "mean" each sends its share of the gradient down."""
        children = self._children(depth)
        return x if children == 1 or self.split_gradients == "sum" else divide_gradient(x, children)

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

    def encoder(self) -> nn.Module:
        """Return a copy of the leader without its classifier: from images to features, (batch, width)."""
        leader = self.leader()
        leader.set_submodule(self.backbone.classifier, nn.Identity())
        return leader
