"""Contrast of each sample with the others of its batch, by the embeddings of one peer or of a pair of peers.

Yang et al., "Mutual contrastive learning for visual representation learning", AAAI 2022. Axes: M peers, P ordered pairs
of peers, B batch, K = B - 1 other samples of the batch, E embedding width.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from peerdistill.errors import UserError
from peerdistill.numerics import upcast, without_autocast


def scores_within(
    embeddings: Float[Tensor, "peers batch width"], temperature: float
) -> Float[Tensor, "peers batch batch"]:
    """Return the scores of all pairs of samples for each peer: ``e_m(x_i) . e_m(x_k) / tau`` for unit embeddings e.

    Args:
        embeddings: Embeddings of the batch by each peer. They are normalised here.
        temperature: Temperature tau of the cosine similarities.

    Raises:
        UserError: For a temperature that is not above 0.
    """
    with without_autocast(embeddings):
        unit_MBE = _unit(embeddings, temperature)
        return unit_MBE @ unit_MBE.transpose(1, 2) / temperature


def scores_across(
    embeddings: Float[Tensor, "peers batch width"], temperature: float
) -> tuple[Float[Tensor, "pairs batch batch"], Float[Tensor, "pairs batch batch"]]:
    """Return the scores ``e_a(x_i) . e_b(x_k) / tau`` of every ordered pair of peers (a, b), and those of (b, a).

    Arguments and errors are those of :func:`scores_within`.
    """
    with without_autocast(embeddings):
        unit_MBE = _unit(embeddings, temperature)
        scores_MMBB = torch.einsum("aie,bke->abik", unit_MBE, unit_MBE) / temperature
        return _off_diagonal(scores_MMBB), _off_diagonal(scores_MMBB.transpose(0, 1))


def _off_diagonal(values_MMBB: Tensor) -> Tensor:
    """Return the entries of different peers (P, B, B), row by row. Indexing with a mask would wait for the GPU."""
    peers = len(values_MMBB)
    # Without the first entry, every row of M + 1 entries ends with one of the diagonal.
    return values_MMBB.flatten(0, 1)[1:].unflatten(0, (peers - 1, peers + 1))[:, :-1].flatten(0, 1)


def _unit(embeddings: Tensor, temperature: float) -> Tensor:
    """Return unit embeddings, at least in float32."""
    if not 0 < temperature < math.inf:
        raise UserError(f"the contrast's temperature must be above 0, found {temperature}")
    return F.normalize(upcast(embeddings), dim=-1)


def without_self(values: Tensor) -> Tensor:
    """Remove the diagonal, a sample with itself: (..., batch, batch) to (..., batch, batch - 1)."""
    batch = values.shape[-1]
    number_K = torch.arange(batch - 1, device=values.device)
    # The others of sample i are 0 to i - 1 and i + 1 to B - 1.
    others_BK = number_K + (number_K >= torch.arange(batch, device=values.device)[:, None])
    return values.take_along_dim(others_BK.expand(*values.shape[:-1], -1), dim=-1)


def supervised_contrast(scores: Float[Tensor, "pairs batch batch"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Return the supervised contrastive loss within the batch, summed over pairs of peers.

    ``-log softmax_{k != i}(s_ik)``, averaged over the positives k of anchor i (the other samples of its label), then
    over the anchors that have a positive. Anchors without a positive are ignored; if all are, the loss is 0.

    Args:
        scores: Scores of anchors (rows) and samples (columns).
        labels: Label of every sample.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import scores_within, supervised_contrast
        >>> embeddings = torch.randn(2, 6, 8)  # (peers, batch, width)
        >>> scores = scores_within(embeddings, temperature=0.07)
        >>> supervised_contrast(scores, labels=torch.tensor([0, 0, 1, 1, 2, 2])).shape
        torch.Size([])
    """
    positive_BK = without_self(labels[:, None] == labels)
    count_B = positive_BK.sum(-1)
    log_p_PBK = without_self(scores).log_softmax(-1)
    loss_PB = -(log_p_PBK * positive_BK).sum(-1) / count_B.clamp(min=1)
    return loss_PB.sum() / (count_B > 0).sum().clamp(min=1)
