"""The multi-view contrastive loss by noise-contrastive estimation (eq. 6 to 11).

Axes: M peers, B batch, E embedding width, N samples, S negatives; A the anchor peers that look into one bank,
K = 1 + S the columns scored for an anchor, its positive first.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from peerdistill.contrast.options import Normaliser, Views
from peerdistill.contrast.scoring import Scorer, cheapest_scorer
from peerdistill.errors import UserError, unknown_name


def multi_view_nce(
    embeddings: Float[Tensor, "peers batch width"],
    banks: Float[Tensor, "peers samples width"],
    indices: Int[Tensor, " batch"],
    negatives: Int[Tensor, "batch negatives"],
    *,
    temperature: float = 0.1,
    normaliser: Normaliser | Float[Tensor, " peers"] = "anchor",
    views: Views = "full",
) -> Float[Tensor, ""]:
    """Return L_contrast: the NCE loss (eq. 11), summed over ordered pairs of peers and averaged over the batch.

    For anchor peer a and bank peer b the positive score is that of the sample's own row of bank b, the negative
    scores those of S rows of other labels. With ``u = s - log Z - log(S / N)`` the loss of an anchor is
    ``softplus(-u_0) + sum_k softplus(u_k)``. Z is taken as a constant, so no gradient flows through it; none flows
    into the banks. The gradient comes out of the forward pass: the banks may change before ``backward``. There is no
    second derivative.

    Args:
        embeddings: What each peer says of the batch, of any length (eq. 6 normalises).
        banks: Unit rows, one for each peer and training sample.
        indices: The samples' rows in the banks.
        negatives: Rows of samples of other labels, the same for all pairs.
        temperature: Temperature tau of eq. 6.
        normaliser: "anchor" estimates ``Z = N * mean(h)`` for each anchor and pair (the paper, eq. 9), "batch"
            once for the whole batch and pair (the code that its authors released). A tensor holds log(Z / N) of each
            bank, known beforehand: see :func:`log_normalisers`.
        views: "full" takes all ordered pairs, "core" those with the leader, the last peer.

    Returns:
        A scalar, in float64 for float64 embeddings and in float32 for all others, whose scores are computed in
        float32 as well.

    Raises:
        UserError: For fewer than two peers, no negatives, a temperature that is not above 0, or an unknown normaliser
            or views.
    """
    if len(embeddings) < 2:
        raise UserError(f"the contrast needs at least 2 peers, found {len(embeddings)}")
    if negatives.shape[1] < 1:
        raise UserError("the contrast needs at least 1 negative for each anchor, found none")
    if temperature <= 0:
        raise UserError(f"the contrast's temperature must be above 0, found {temperature}")
    if isinstance(normaliser, str) and normaliser not in ("anchor", "batch"):
        raise unknown_name("normaliser", normaliser, ("anchor", "batch"))
    if views not in ("full", "core"):
        raise unknown_name("views", views, ("full", "core"))
    with torch.autocast(embeddings.device.type, enabled=False):
        anchors_MBE, columns_BK = _prepared(embeddings, indices, negatives)
        return _ValueAndGradient.apply(anchors_MBE, banks.detach(), columns_BK, temperature, normaliser, views)


@torch.no_grad()
def log_normalisers(
    embeddings: Float[Tensor, "peers batch width"],
    banks: Float[Tensor, "peers samples width"],
    indices: Int[Tensor, " batch"],
    negatives: Int[Tensor, "batch negatives"],
    *,
    temperature: float = 0.1,
) -> Float[Tensor, " peers"]:
    """Return log(Z / N) of each bank: of the mean of h over all that this batch's other peers look up in it.

    Arguments as in :func:`multi_view_nce`. CRD (Tian et al., ICLR 2020) takes them from its first batch for good.
    """
    found = []
    with torch.autocast(embeddings.device.type, enabled=False):
        anchors_MBE, columns_BK = _prepared(embeddings, indices, negatives)
        scorer = cheapest_scorer(len(anchors_MBE) - 1, banks, columns_BK)
        for anchor_peers, bank_peer in _looks(len(anchors_MBE), "full"):
            scores = scorer.scores(anchors_MBE[anchor_peers], banks[bank_peer].to(anchors_MBE.dtype)) / temperature
            found.append(torch.logsumexp(scores.flatten(), dim=0) - math.log(scores.numel()))
    return torch.stack(found)


def _prepared(embeddings: Tensor, indices: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Return unit anchors, at least in float32, and the bank's rows to score for each sample, its own first."""
    precision = torch.promote_types(embeddings.dtype, torch.float32)
    return F.normalize(embeddings.to(precision), dim=-1), torch.cat([indices[:, None], negatives], dim=1)


class _ValueAndGradient(torch.autograd.Function):
    """Computes the gradient with the value: all that is kept for ``backward`` is (M, B, E)."""

    @staticmethod
    def forward(ctx, anchors_MBE, banks_MNE, columns_BK, temperature, normaliser, views):
        value = anchors_MBE.new_zeros(())
        gradient_MBE = torch.zeros_like(anchors_MBE)
        scorer = cheapest_scorer(len(anchors_MBE) - 1, banks_MNE, columns_BK)
        for anchor_peers, bank_peer in _looks(len(anchors_MBE), views):
            anchors_ABE = anchors_MBE[anchor_peers]
            bank_NE = banks_MNE[bank_peer].to(anchors_MBE.dtype)
            known = normaliser[bank_peer] if isinstance(normaliser, Tensor) else normaliser
            loss, gradient_ABE = _one_bank(anchors_ABE, bank_NE, scorer, temperature, known)
            value += loss
            gradient_MBE[anchor_peers] += gradient_ABE
        batch = anchors_MBE.shape[1]
        ctx.save_for_backward(gradient_MBE.div_(batch))
        return value / batch

    @staticmethod
    @once_differentiable
    def backward(ctx, *upstream):  # pyright: ignore[reportIncompatibleMethodOverride] (once_differentiable)
        (gradient_MBE,) = ctx.saved_tensors
        return gradient_MBE * upstream[0], None, None, None, None, None


class _Look(NamedTuple):
    anchor_peers: list[int]
    bank_peer: int


def _looks(peers: int, views: Views) -> Iterator[_Look]:
    """Yield every ordered pair once, grouped by bank: a bank is read once for all anchors that look into it."""
    leader = peers - 1
    for bank in range(peers):
        if views == "full" or bank == leader:
            yield _Look([peer for peer in range(peers) if peer != bank], bank)
        else:
            yield _Look([leader], bank)


def _one_bank(
    anchors_ABE: Tensor, bank_NE: Tensor, scorer: Scorer, temperature: float, normaliser: Normaliser | Tensor
) -> tuple[Tensor, Tensor]:
    """Return the loss of all anchors against one bank, summed over anchors, and its gradient."""
    scores_ABK = scorer.scores(anchors_ABE, bank_NE).div_(temperature)
    loss, slopes_ABK = _binary_nce_(scores_ABK, normaliser)
    return loss, scorer.pull_back(slopes_ABK, bank_NE).div_(temperature)


def _binary_nce_(scores_ABK: Tensor, normaliser: Normaliser | Tensor) -> tuple[Tensor, Tensor]:
    """Return the summed loss of eq. 11 and its slope with respect to each score; overwrites the scores.

    ``Z = N * mean(exp(s))``, so N cancels in ``u = s - log Z - log(S / N)``. ``softplus(-u) = softplus(u) - u``, so the
    positive's term differs from a negative's by ``u_0`` alone.
    """
    log_mean = normaliser if isinstance(normaliser, Tensor) else _log_mean(scores_ABK, normaliser)
    u_ABK = scores_ABK.sub_(log_mean + math.log(scores_ABK.shape[2] - 1))
    loss = F.softplus(u_ABK).sum() - u_ABK[..., 0].sum()
    slopes_ABK = u_ABK.sigmoid_()
    slopes_ABK[..., 0] -= 1
    return loss, slopes_ABK


def _log_mean(scores_ABK: Tensor, normaliser: Normaliser) -> Tensor:
    """Return log(Z / N), estimated for each anchor or once for all of a peer's."""
    averaged = (2,) if normaliser == "anchor" else (1, 2)
    averaged_over = math.prod(scores_ABK.shape[axis] for axis in averaged)
    return torch.logsumexp(scores_ABK, dim=averaged, keepdim=True) - math.log(averaged_over)
