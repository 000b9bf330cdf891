"""The multi-view contrastive loss (eq. 6 to 11), with its gradient.

Axes: M peers, B batch, E embedding width, N samples, S negatives, L queue length; A anchor peers that are scored
against one bank.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from peerdistill.contrast import objectives
from peerdistill.contrast.keys import Keys, bank_keys, queue_keys
from peerdistill.contrast.options import FLOAT32_TEMPERATURE, LOWEST_TEMPERATURE, Normaliser, Objective, Views
from peerdistill.contrast.score_blocks import Anchors, SubBatch
from peerdistill.contrast.shard import Shard
from peerdistill.errors import UserError, unknown_name
from peerdistill.numerics import min_float32, with_custom_gradient, without_autocast


class _Settings(NamedTuple):
    """Settings of the contrast that do not depend on the source of negatives."""

    objective: Objective
    temperature: float
    normaliser: Normaliser | Tensor
    views: Views

    def check(self, peers: int) -> None:
        """Raise UserError for a setting out of range, or for fewer than two peers."""
        if peers < 2:
            raise UserError(f"the contrast needs at least 2 peers, found {peers}")
        if self.temperature < LOWEST_TEMPERATURE:
            raise UserError(
                f"the contrast's temperature must be at least {LOWEST_TEMPERATURE}, found {self.temperature}"
            )
        named = {"objective": Objective, "views": Views}
        if isinstance(self.normaliser, str):
            named["normaliser"] = Normaliser
        for kind, allowed in named.items():
            if getattr(self, kind) not in get_args(allowed):
                raise unknown_name(kind, getattr(self, kind), get_args(allowed))

    def precision(self, dtype: torch.dtype) -> torch.dtype:
        """Return the precision of scores for embeddings of ``dtype``."""
        return torch.float64 if self.temperature < FLOAT32_TEMPERATURE else min_float32(dtype)

    def anchor_peers(self, bank_peer: int, peers: int) -> list[int]:
        """Return the peers whose anchors are scored against a bank, so that each bank is read once for all of them."""
        leader = peers - 1
        if self.views == "full" or bank_peer == leader:
            return [peer for peer in range(peers) if peer != bank_peer]
        return [leader]


def multi_view_nce(
    embeddings: Float[Tensor, "peers batch width"],
    banks: Float[Tensor, "peers rows width"],
    indices: Int[Tensor, " batch"],
    negatives: Int[Tensor, "batch negatives"] | Int[Tensor, " negatives"] | Literal["all"],
    *,
    labels: Int[Tensor, " samples"] | None = None,
    objective: Objective = "nce",
    temperature: float = 0.1,
    normaliser: Normaliser | Float[Tensor, " peers"] = "anchor",
    views: Views = "full",
    shard: Shard | None = None,
) -> Float[Tensor, ""]:
    """Return L_contrast: eq. 11 (or eq. 8), summed over ordered pairs of peers and averaged over the batch.

    For anchor peer a and bank peer b, the positive score is that of the sample's own row of bank b; the negative
    scores are those of S rows of other labels. With ``u = s - log Z - log(S / N)`` the loss of an anchor is
    ``softplus(-u_0) + sum_k softplus(u_k)``.

    Z and the banks are constants: no gradient flows through them. The gradient is computed in the forward pass, so the
    banks may change before ``backward``. Second derivatives are not supported.

    Scores are computed block by block. Besides its inputs and the gradient (M, B, E), the function needs a few MiB
    whatever N is. The exception are negatives per anchor that are many compared with N, which need (B, N) numbers.

    Args:
        embeddings: Embeddings of the batch by each peer. They are normalised here (eq. 6).
        banks: Unit embeddings of all training samples by each peer, in any precision.
        indices: Rows of the batch's samples in the banks.
        negatives: Rows of the negatives, for all pairs of peers. (B, S): per anchor. (S,): shared by the batch; those
            of the anchor's label are left out if ``labels`` is given. "all": every sample of another label. S is the
            number of negatives that remain for the anchor; if none remains, the anchor's loss is 0.
        labels: Labels of the training samples. Required for "all"; not used for negatives per anchor.
        objective: "nce", or "softmax": ``-log p`` of the positive in a softmax over positive and negatives, without Z.
        temperature: Temperature tau of eq. 6, at least 0.003.
        normaliser: "anchor" estimates ``Z = N * mean(h)`` per anchor and pair (the paper, eq. 9), "batch" per batch
            and pair (the released code). A tensor gives log(Z / N) of each bank: see :func:`log_normalisers`.
        views: "full" takes all ordered pairs of peers, "core" only those with the leader, the last peer.
        shard: If several processes hold the banks, the shard of this one. ``banks`` are then its rows, and negatives
            per anchor are rows of it. All other arguments are the same in all processes, and so are the loss and its
            gradient: those of the whole batch with the negatives of all processes.

    Returns:
        A scalar: float64 for float64 embeddings, otherwise float32. Scores are computed in the same precision (below a
        temperature of 0.025 in float64).

    Raises:
        UserError: For fewer than two peers, no negatives, "all" without labels, a temperature that is too low, or an
            unknown objective, normaliser or views.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import MemoryBank, multi_view_nce
        >>> bank = MemoryBank(peers=2, samples=100, width=8)
        >>> embeddings = torch.randn(2, 4, 8, requires_grad=True)  # (peers, batch, width)
        >>> negatives = torch.randint(50, 100, (4, 16))  # 16 rows of other labels for each anchor
        >>> loss = multi_view_nce(embeddings, bank.rows, indices=torch.arange(4), negatives=negatives, temperature=0.1)
        >>> loss.backward()
        >>> embeddings.grad.shape
        torch.Size([2, 4, 8])
    """
    settings = _Settings(objective, temperature, normaliser, views)
    settings.check(len(embeddings))
    rows = banks.detach()
    keys = bank_keys(rows, indices, negatives, labels, settings.precision(embeddings.dtype), shard)
    return _contrast(embeddings, _Positives.of(rows, indices, shard), keys, settings)


def queue_nce(
    embeddings: Float[Tensor, "peers batch width"],
    queue: Float[Tensor, "peers length width"],
    queue_labels: Int[Tensor, " length"],
    labels: Int[Tensor, " batch"],
    *,
    objective: Objective = "nce",
    temperature: float = 0.1,
    normaliser: Normaliser = "anchor",
    views: Views = "full",
) -> Float[Tensor, ""]:
    """Return L_contrast with negatives from a queue of recent embeddings, for data too large for a bank.

    A queue has no row for the sample itself. The positive of anchor peer a and peer b is b's embedding of the same
    sample, without gradient, as in MoCo (He et al., CVPR 2020). N of eq. 9 and 10 cancels, because ``Z = N * mean(h)``
    is divided by N again. Everything else is as in :func:`multi_view_nce`.

    Args:
        embeddings: Embeddings of the batch by each peer, of any length.
        queue: Unit embeddings of recent samples by each peer; an entry is the same sample for all peers.
        queue_labels: Label of each entry; negative for an empty entry.
        labels: Labels of the batch. S is the number of entries of other labels; if it is 0, the anchor's loss is 0.
        objective: "nce" or "softmax".
        temperature: Temperature tau of eq. 6.
        normaliser: "anchor" or "batch".
        views: "full" or "core".

    Raises:
        UserError: For fewer than two peers, a temperature that is too low, or an unknown objective, normaliser or
            views.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import EmbeddingQueue, queue_nce
        >>> queue, labels = EmbeddingQueue(peers=2, length=64, width=8), torch.arange(4)
        >>> queue.push(torch.randn(2, 4, 8), labels)
        >>> embeddings = torch.randn(2, 4, 8, requires_grad=True)
        >>> queue_nce(embeddings, queue.rows, queue.labels, labels).backward()
    """
    settings = _Settings(objective, temperature, normaliser, views)
    settings.check(len(embeddings))
    keys = queue_keys(queue.detach(), queue_labels, labels, settings.precision(embeddings.dtype))
    return _contrast(embeddings, None, keys, settings)


@torch.no_grad()
def log_normalisers(
    embeddings: Float[Tensor, "peers batch width"],
    banks: Float[Tensor, "peers rows width"],
    indices: Int[Tensor, " batch"],
    negatives: Int[Tensor, "batch negatives"] | Int[Tensor, " negatives"] | Literal["all"],
    *,
    labels: Int[Tensor, " samples"] | None = None,
    temperature: float = 0.1,
    shard: Shard | None = None,
) -> Float[Tensor, " peers"]:
    """Return log(Z / N) of each bank: the log of the mean h over all anchors of this batch that are scored against it.

    Arguments and errors are those of :func:`multi_view_nce`. CRD (Tian et al., ICLR 2020) computes Z in its first
    batch and keeps it.
    """
    settings = _Settings("nce", temperature, "anchor", "full")
    settings.check(len(embeddings))
    keys = bank_keys(banks, indices, negatives, labels, settings.precision(embeddings.dtype), shard)
    positives = _Positives.of(banks, indices, shard)
    with without_autocast(embeddings):
        sub_batches = _sub_batches(_normalised(embeddings, settings), positives, keys, settings)
        log_means = [mean_A.mean().log() for mean_A in objectives.mean_h(sub_batches)]
        return torch.stack(log_means).to(min_float32(embeddings.dtype))


class _Positives(NamedTuple):
    """The positive key of every sample by each peer.

    Attributes:
        embeddings: The keys (M, B, E); zeros for those that another process has.
        owned: Which of them this process has (B,); None: all.
        shard: The shard of this process, if several hold the bank.
    """

    embeddings: Tensor
    owned: Tensor | None = None
    shard: Shard | None = None

    @classmethod
    def of(cls, rows: Tensor, indices: Tensor, shard: Shard | None) -> "_Positives":
        """Return the rows of the batch's samples."""
        if shard is None:
            return cls(rows[:, indices])
        return cls(shard.rows.embeddings_of(rows, indices), shard.rows.owns(indices), shard)


def _contrast(embeddings: Tensor, positives: _Positives | None, keys: Keys, settings: _Settings) -> Tensor:
    """Return the contrast of embeddings with positives, by default the embeddings themselves, and negative keys."""
    with without_autocast(embeddings):
        unit_MBE = _normalised(embeddings, settings)
        positives = _Positives(unit_MBE.detach()) if positives is None else positives
        compute = partial(_value_and_gradient, positives=positives, keys=keys, settings=settings)
        return with_custom_gradient(compute, unit_MBE).to(min_float32(embeddings.dtype))


def _normalised(embeddings: Tensor, settings: _Settings) -> Tensor:
    return F.normalize(embeddings.to(settings.precision(embeddings.dtype)), dim=-1)


def _value_and_gradient(
    unit_MBE: Tensor, positives: _Positives, keys: Keys, settings: _Settings
) -> tuple[Tensor, Tensor]:
    """Return the loss and its gradient with respect to the unit embeddings."""
    sub_batches = _sub_batches(unit_MBE, positives, keys, settings)
    objective = _objective(sub_batches, settings, positives.shard)
    gradient_MBE = torch.zeros_like(unit_MBE)
    losses = []
    for sub_batch in sub_batches:
        losses.append(objective(sub_batch))
        for anchors in sub_batch.anchors:
            anchor_peers = settings.anchor_peers(anchors.bank_peer, len(unit_MBE))
            # Not indexed with a list of peers: PyTorch would copy it to the device, and the host would wait for that.
            for peer, gradient_BE in zip(anchor_peers, anchors.gradient_BAE.unbind(1), strict=True):
                gradient_MBE[peer, sub_batch.samples].add_(gradient_BE)
    batch = unit_MBE.shape[1]
    loss, gradient_MBE = sub_batches[0].totals([torch.stack(losses).sum(), gradient_MBE])
    return loss / batch, gradient_MBE.div_(batch * settings.temperature)


def _sub_batches(unit_MBE: Tensor, positives: _Positives, keys: Keys, settings: _Settings) -> list[SubBatch]:
    """Return the anchors of every ordered pair of peers once, grouped by bank."""
    peers = len(unit_MBE)
    owned_B1 = None if positives.owned is None else positives.owned[:, None].to(unit_MBE.dtype)

    def anchors(bank_peer: int, samples: slice) -> Anchors:
        unit_BAE = torch.stack([unit_MBE[peer, samples] for peer in settings.anchor_peers(bank_peer, peers)], dim=1)
        scaled_BAE = unit_BAE / settings.temperature
        positives_BE = positives.embeddings[bank_peer, samples].to(unit_MBE.dtype)
        return Anchors(bank_peer, scaled_BAE, positives_BE, owned_B1)

    if positives.shard is not None:  # one sub-batch, so that all processes exchange the same sums
        of_banks = [anchors(peer, slice(None)) for peer in range(peers)]
        scores = positives.shard.totals([of_bank.positive_scores_BA for of_bank in of_banks])
        for of_bank, scores_BA in zip(of_banks, scores, strict=True):
            of_bank.positive_scores_BA = scores_BA
        return [SubBatch(slice(None), of_banks, keys, positives.shard)]
    return [
        SubBatch(samples, [anchors(peer, samples) for peer in range(peers)], of_samples)
        for samples, of_samples in keys.sub_batches()
    ]


def _objective(
    sub_batches: Sequence[SubBatch], settings: _Settings, shard: Shard | None
) -> Callable[[SubBatch], Tensor]:
    if settings.objective == "softmax":
        return objectives.softmax
    if isinstance(settings.normaliser, Tensor):
        log_means = [settings.normaliser[anchors.bank_peer] for anchors in sub_batches[0].anchors]
    elif settings.normaliser == "batch":
        log_means = [mean_A.log() for mean_A in objectives.mean_h(sub_batches)]
    else:
        return objectives.nce if shard is None else objectives.nce_of_shards
    return partial(objectives.nce_with_known_z, log_means=log_means)
