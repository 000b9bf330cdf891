"""The objectives of the contrast with their gradients, tile by tile: NCE (eq. 9 to 11) and softmax (eq. 8).

``h = exp(s)`` is what a critic says (eq. 6). Cosines lie within -1 and 1, so where ``exp(1 / tau)`` is far from the
limits of the precision, which the caller sees to, h can be added up and divided without taking a maximum out first.

Axes: A anchor peers that look into one bank, B batch or a part of it, E embedding width; n the columns of one tile.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from peerdistill.contrast.scores import Look, Part, Scored, Scores

# Each halving of what a logarithm is taken of costs less than the logarithms it saves, as long as they are many.
_HALVINGS = 3


def softmax(part: Part) -> Tensor:
    """Return ``-log p`` of eq. 7, summed over anchors, and leave its gradient in the looks.

    One pass, two products: what pulls away from the negatives is linear in h, so it can be divided by the sum of all h
    in the end.
    """
    losses = []
    for look, scores in part.scores(keep=False):
        sum_BA = look.scores_BA.exp()
        for scored in scores:
            h_BAn = scored.times(scored.h, out=scored.h)
            sum_BA += h_BAn.sum(-1)
            scored.pull_back(h_BAn)
        log_p_BA = look.scores_BA - sum_BA.log()
        look.gradient_BAE /= sum_BA[..., None]
        look.pull_to_positives(log_p_BA.exp() - 1)
        losses.append(-log_p_BA.sum())
    return torch.stack(losses).sum()


def nce(part: Part) -> Tensor:
    """Return the loss of eq. 11, summed over anchors, with Z of each anchor; leave its gradient in the looks.

    Two passes: the slope of a softplus is not linear in h, so Z must be known first.
    """
    losses = []
    for look, scores in part.scores(keep=True):
        log_mean_BA = (_sum_BA(look, scores) / (1 + part.counts_B1)).log()
        losses.append(_nce(look, scores, log_mean_BA, part.counts_B1, _with_own_z))
    return torch.stack(losses).sum()


def nce_with_known_z(part: Part, log_means: Sequence[Tensor]) -> Tensor:
    """Return what :func:`nce` does, given log(Z / N) of each look: a scalar, or one of each anchor peer (A)."""
    looks = zip(part.scores(keep=False), log_means, strict=True)
    losses = [_nce(look, scores, log_mean, part.counts_B1, _with_known_z) for (look, scores), log_mean in looks]
    return torch.stack(losses).sum()


def mean_h(parts: Sequence[Part]) -> list[Tensor]:
    """Return for each look the mean of h over positives and negatives of the whole batch, by anchor peer (A)."""
    scored = torch.stack([(1 + part.counts_B1).sum() for part in parts]).sum()
    sums = [[_sum_BA(look, scores).sum(0) for look, scores in part.scores(keep=False)] for part in parts]
    return [torch.stack(of_look).sum(0) / scored for of_look in zip(*sums, strict=True)]


def _sum_BA(look: Look, scores: Scores) -> Tensor:  # noqa: N802
    """Return the sum of h over the positive and all negatives of each anchor."""
    sum_BA = look.scores_BA.exp()
    for scored in scores:
        sum_BA += scored.times(scored.h, out=scored.free).sum(-1)
    return sum_BA


def _nce(look: Look, scores: Scores, log_mean: Tensor, counts_B1: Tensor, tile: "_TileOfNce") -> Tensor:
    """Return the loss of eq. 11 of one look, and leave its gradient in it.

    ``Z = N * mean(h)``, so N cancels in ``u = s - log Z - log(S / N)``, and the loss is
    ``softplus(-u_0) + sum_k softplus(u_k)``. With ``z = S mean(h)``, ``exp(u_k) = h_k / z``.
    """
    # Without negatives u_0 is infinite: p_0 is 1, there is nothing to lose.
    u_BA = look.scores_BA - log_mean - counts_B1.log()
    loss = F.softplus(-u_BA).sum()
    z_BA1 = (log_mean.exp() * counts_B1.clamp(min=1)).expand_as(u_BA)[..., None]
    for scored in scores:
        softplus_sum, minus_sigmoid_BAn = tile(scored, z_BA1)
        loss += softplus_sum
        scored.pull_back(scored.times(minus_sigmoid_BAn, out=minus_sigmoid_BAn))
    look.gradient_BAE.neg_()
    look.pull_to_positives(u_BA.sigmoid() - 1)
    return loss


_TileOfNce = Callable[[Scored, Tensor], tuple[Tensor, Tensor]]
"""From a tile and z (B, A, 1) to the sum of softplus(u), each column as often as it counts, and -sigmoid(u)."""


def _with_known_z(scored: Scored, z_BA1: Tensor) -> tuple[Tensor, Tensor]:
    softplus_BAn = torch.div(scored.h, z_BA1, out=scored.free).log1p_()
    softplus_sum = scored.times(softplus_BAn, out=softplus_BAn).sum()
    return softplus_sum, _minus_sigmoid(scored, z_BA1)


def _with_own_z(scored: Scored, z_BA1: Tensor) -> tuple[Tensor, Tensor]:
    """Take the softplus as ``-log(1 - sigmoid(u))``, which saves a pass over the tile.

    Of the samples whose mean gave Z, exp(u) adds up to 2 at most: so no sigmoid comes close to 1, and no product of
    1 - sigmoid(u) falls below exp(-2).
    """
    minus_sigmoid_BAn = _minus_sigmoid(scored, z_BA1)
    if scored.tile.times is None:
        return -_log1p_sum(minus_sigmoid_BAn, scored.free), minus_sigmoid_BAn
    log_BAn = torch.log1p(minus_sigmoid_BAn, out=scored.free)
    return -scored.times(log_BAn, out=log_BAn).sum(), minus_sigmoid_BAn


def _minus_sigmoid(scored: Scored, z_BA1: Tensor) -> Tensor:
    return scored.h.div_(torch.sub(-z_BA1, scored.h, out=scored.free))


def _log1p_sum(x_BAn: Tensor, free_BAn: Tensor) -> Tensor:
    """Return the sum of ``log(1 + x)``, of an eighth as many products."""
    left_over = x_BAn.new_zeros(())
    for _ in range(_HALVINGS):
        # (1 + a) (1 + b) = 1 + (a + ab + b)
        half = x_BAn.shape[-1] // 2
        a, b, odd = x_BAn.split([half, half, x_BAn.shape[-1] - 2 * half], dim=-1)
        x_BAn = torch.addcmul(a, a, b, out=free_BAn[..., :half]).add_(b)
        if odd.shape[-1]:
            left_over += odd.log1p().sum()
    return left_over + torch.log1p(x_BAn, out=free_BAn[..., : x_BAn.shape[-1]]).sum()
