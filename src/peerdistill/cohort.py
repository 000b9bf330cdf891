"""A cohort of M peers, usually with the same backbone, which may share their first stages.

Axes: M peers, B batch, C classes, D feature width.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill import backbones
from peerdistill.backbones import Backbone
from peerdistill.errors import UserError
from peerdistill.lanes import Lanes
from peerdistill.numerics import divide_gradient
from peerdistill.sharing import BranchAt, check_peer_backbones, copies_per_stage


class CohortOutput(NamedTuple):
    """The output of all peers for a batch.

    Attributes:
        logits: Logits of each peer (M, B, C). The leader is the last peer.
        features: Penultimate features of each peer (M, B, D), or one tensor (B, D) per peer if their widths differ.
        stem: Output of the last stage that all peers share; the images if they share none.
        ensemble: Logits of the ensemble (B, C). A cohort returns the mean of the peers' logits (eq. 4); a method may
            replace it before the terms receive it.
        images: The images (B, channels, height, width).
        teacher: Output of the teacher for the images, if the method has one.
    """

    logits: Float[Tensor, "peers batch classes"]
    features: Float[Tensor, "peers batch width"] | tuple[Float[Tensor, "batch _width"], ...]
    stem: Float[Tensor, "batch ..."]
    ensemble: Float[Tensor, "batch classes"]
    images: Tensor | None = None
    teacher: "CohortOutput | None" = None

    def samples_from(self, start: int) -> "CohortOutput":
        """Return the output without the samples before row ``start`` of the batch."""
        features = self.features
        stacked = isinstance(features, Tensor)
        return CohortOutput(
            logits=self.logits[:, start:],
            features=features[:, start:] if stacked else tuple(feature[start:] for feature in features),
            stem=self.stem[start:],
            ensemble=self.ensemble[start:],
            images=None if self.images is None else self.images[start:],
            teacher=None if self.teacher is None else self.teacher.samples_from(start),
        )


def pooled(stem: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch channels"]:
    """Return the mean over all positions.

    Args:
        stem: Feature maps (batch, channels, height, width), or the output of a transformer stage: tokens
            (batch, tokens, channels) or a square grid (batch, side, side, channels).
    """
    channels_last = stem.ndim == 4 and stem.shape[1] == stem.shape[2] != stem.shape[3]
    if stem.ndim == 3 or channels_last:
        return stem.flatten(1, -2).mean(1)
    return stem.flatten(2).mean(-1)


class Cohort(nn.Module):
    """M peers that are trained together. The last peer is the leader.

    Each peer is a complete stock network. Peers that share a stage contain the same submodules, so its parameters occur
    once in ``parameters()``, and each peer has the ``state_dict`` of the stock network.

    Args:
        backbone: A name that ``peerdistill.backbones.build`` accepts, or a ``Backbone``.
        classes: Number of classes C.
        peers: Number of peers M, at least 1. Each starts from different random weights.
        sharing: "network" (no stage is shared), "branch" (the first stages are shared), "tree" (the copies increase
            stage by stage), or the number of copies of each stage, for example ``[1, 2, 4, 4]``.
        share_until: For "branch" and "tree", the name of the last stage that all peers share.
        branch_at: For "branch" without ``share_until``: whether branches part "early", as in MCL-OKD, or "late", as in
            ONE and OKDDip. ``peerdistill.methods.find(NAME).cohort`` contains the choice of a method.
        peer_backbones: Backbones of the M - 1 peers before the leader, if they differ from the leader's. These peers
            can't share stages.
        in_channels: Number of image channels.
        image_size: Image side in pixels, for backbones given by name: see ``peerdistill.backbones.build``.
        split_gradients: How a shared stage combines the gradients from the stages above it: their "sum", as autograd
            does, or their "mean".
        freeze_until: Name of the last stage that does not learn: neither it nor the stages before it get gradients,
            and their modules stay in evaluation mode, so that batch normalisation keeps its statistics. All peers share
            these stages, unless they have different backbones. With the name of the last stage only the classifiers
            learn.

    Raises:
        UserError: For an unknown backbone, sharing or stage, for counts that do not form a tree, and for sharing
            between peers with different backbones or with a backbone that can't be split into stages.

    Source: the paper, section 3.1. The tree and the mean of gradients are from Song and Chai, NeurIPS 2018.

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
        freeze_until: str | None = None,
    ):
        super().__init__()
        if peers < 1:
            raise UserError(f"peers must be at least 1, found {peers}")
        if peer_backbones:
            check_peer_backbones(peer_backbones, peers, sharing)

        def build(one: str | Backbone) -> Backbone:
            if isinstance(one, Backbone):
                return one
            return backbones.build(one, classes=classes, in_channels=in_channels, image_size=image_size)

        self.backbone = build(backbone)
        self.backbones = (*map(build, peer_backbones or [self.backbone] * (peers - 1)), self.backbone)
        self.classes = classes
        self.peers = peers
        if peer_backbones:
            self.copies = (peers,) * max(len(one.stages) for one in self.backbones)
        else:
            self.copies = copies_per_stage(self.backbone, peers, sharing, share_until, branch_at)
        self.split_gradients = split_gradients
        if freeze_until is not None:
            self.backbones = tuple(one.frozen(freeze_until) for one in self.backbones)
            self.backbone = self.backbones[-1]
            if not (peer_backbones or self.backbone.unsplittable):  # equal stages stay equal: one copy is enough
                frozen = self.backbone.count_until(freeze_until)
                self.copies = (1,) * frozen + self.copies[frozen:]
        self.networks = nn.ModuleList(one.network() for one in self.backbones)
        self._share()
        self._frozen = self._freeze()
        # Whether a copy of a stage modifies its input in place, by owner, depth and mode. Found out in its first call.
        self._writes: dict[tuple[int, int, bool], bool] = {}

    def _share(self) -> None:
        for depth, stage in enumerate(self.backbone.stages):
            for peer, network in enumerate(self.networks):
                owner = self._owner(peer, depth)
                for path in stage.modules if owner != peer else ():
                    parent, _, attribute = path.rpartition(".")
                    held = getattr(self.networks[owner].get_submodule(parent), attribute)
                    setattr(network.get_submodule(parent), attribute, held)

    def _freeze(self) -> list[list[str]]:
        """Turn off the gradients of the frozen stages, and return the names of their parameters for each peer."""
        names = [
            [name for name, one in network.named_parameters() if one.requires_grad and backbone.is_frozen(name)]
            for network, backbone in zip(self.networks, self.backbones, strict=True)
        ]
        for network, frozen in zip(self.networks, names, strict=True):
            for name in frozen:
                network.get_parameter(name).requires_grad_(False)
        self._keep_frozen()
        return names

    def _keep_frozen(self) -> None:
        """Set the frozen stages to evaluation mode: batch normalisation keeps its statistics, nothing is dropped."""
        for network, backbone in zip(self.networks, self.backbones, strict=True):
            if backbone.freeze_until is None:  # evaluations and epochs switch the mode: no walk through all modules
                continue
            for path, module in network.named_modules():
                if backbone.is_frozen(path):
                    module.training = False

    def train(self, mode: bool = True) -> "Cohort":
        """Set the mode of all modules, except those of frozen stages: they stay in evaluation mode."""
        super().train(mode)
        self._keep_frozen()
        return self

    def _owner(self, peer: int, depth: int) -> int:
        """Return the first of the peers that share a stage with ``peer``."""
        group = self.peers // self.copies[depth]
        return peer // group * group

    def _children(self, depth: int) -> int:
        """Return how many copies of a stage read the output of one copy of the stage below, or the images.

        At the depth above the last stage, these are the classifiers, one per peer.
        """
        return (*self.copies, self.peers)[depth] // (1, *self.copies)[depth]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width D of each peer's penultimate features."""
        pairs = zip(self.networks, self.backbones, strict=True)
        classifiers = [network.get_submodule(backbone.classifier) for network, backbone in pairs]
        return tuple(classifier.in_features for classifier in classifiers if isinstance(classifier, nn.Linear))

    @property
    def width(self) -> int:
        """Width D of the leader's penultimate features."""
        return self.widths[-1]

    @property
    def stem_channels(self) -> int:
        """Number of channels of the shared stem's output."""
        network = deepcopy(self.networks[-1]).to("meta").eval()
        x = torch.zeros(2, *self.backbone.image_shape, device="meta")
        for stage, copies in zip(self.backbone.stages, self.copies, strict=True):
            if copies == 1:
                x = stage(network, x)
        return pooled(x).shape[1]

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> CohortOutput:
        """Run all peers on ``images``. Each copy of a stage runs once."""
        outputs: dict[tuple[int, int], Tensor] = {}  # by depth and owner of the copy
        lanes = Lanes(images)
        stem = images
        features, logits = [], []
        for peer, (network, backbone) in enumerate(zip(self.networks, self.backbones, strict=True)):
            x = images
            for depth in range(len(backbone.stages)):
                copy = (depth, self._owner(peer, depth))
                if copy not in outputs:
                    outputs[copy] = lanes.run(self._lane(copy), partial(self._run, copy, network), x)
                x = outputs[copy]
                if self.copies[depth] == 1:
                    stem = x
            lane = self._lane((len(self.copies), peer))
            features.append(lanes.run(lane, self._features, x))
            logits.append(lanes.run(lane, network.get_submodule(backbone.classifier), features[-1]))
        lanes.join(*features, *logits)
        logits_MBC = torch.stack(logits)
        one_width = len({feature.shape[1] for feature in features}) == 1
        return CohortOutput(
            logits_MBC, torch.stack(features) if one_width else tuple(features), stem, logits_MBC.mean(0), images
        )

    def _lane(self, copy: tuple[int, int]) -> int | None:
        """Return the lane of a copy of a stage or of a classifier: its owner. What all peers share has none."""
        depth, owner = copy
        return None if (*self.copies, self.peers)[depth] == 1 else owner

    def _features(self, x: Tensor) -> Tensor:
        """Return the output of the last stage as the input of the classifiers."""
        return self._divided(x.flatten(1), len(self.copies))

    def _run(self, copy: tuple[int, int], network: nn.Module, x: Tensor) -> Tensor:
        """Run one copy of a stage. If it modifies its input in place and others read that too, it gets a clone."""
        depth, owner = copy
        stage = self.backbones[owner].stages[depth]
        if self._children(depth) == 1:
            return stage(network, x)
        x = self._divided(x, depth)
        key = (owner, depth, network.training)
        if self._writes.get(key) is False:
            # With a view, as with a clone, autograd first adds up the gradients within a branch: the sums are the same.
            return stage(network, x.view_as(x))
        own = x.clone()
        if own.is_inference():  # such tensors have no version counter
            return stage(network, own)
        version = own._version
        output = stage(network, own)
        self._writes[key] = own._version != version
        return output

    def _divided(self, x: Tensor, depth: int) -> Tensor:
        """Return ``x`` as input of one of several stages. With "mean", its gradient is divided by their number."""
        children = self._children(depth)
        return x if children == 1 or self.split_gradients == "sum" else divide_gradient(x, children)

    def peer(self, index: int) -> nn.Module:
        """Return a copy of a peer as a plain network in evaluation mode, with the ``state_dict`` of the stock network.

        Stages that were frozen can learn in the copy.

        Raises:
            UserError: If ``index`` is not in 0 to peers - 1.
        """
        if not 0 <= index < self.peers:
            raise UserError(f"peer index must be from 0 to {self.peers - 1}, found {index}")
        network = deepcopy(self.networks[index]).eval()
        for name in self._frozen[index]:
            network.get_parameter(name).requires_grad_(True)
        return network

    def leader(self) -> nn.Module:
        """Return a copy of the leader, the network to deploy: the last peer as :meth:`peer` returns it."""
        return self.peer(self.peers - 1)

    def single(self, network: nn.Module) -> "Cohort":
        """Return a cohort with one peer: ``network`` itself, which has the architecture of the leader.

        An evaluator measures such a network, for example an average of weights, as it measures peers.
        """
        backbone = replace(self.backbone, network=lambda: network)
        return Cohort(backbone, self.classes, peers=1, sharing="network")

    def encoder(self) -> nn.Module:
        """Return a copy of the leader without its classifier, which maps images to features (batch, width)."""
        leader = self.leader()
        leader.set_submodule(self.backbone.classifier, nn.Identity())
        return leader
