"""The objectives of the contrast, NCE (eq. 9 to 11) and softmax (eq. 8), computed block by block with their gradients.

``h = exp(s)`` is the critic of eq. 6. Cosines lie between -1 and 1, and the caller picks a precision in which
``exp(1 / tau)`` is far from overflow, so h can be summed and divided without subtracting a maximum first.

The objectives overwrite the buffers of score blocks: see the aliasing contract in ``score_blocks.py``.

Axes: A anchor peers that are scored against one bank, B batch or part of it, E embedding width; n the keys of a block.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from peerdistill.contrast.score_blocks import Anchors, ScoreBlock, ScoreBlocks, SubBatch

# Each halving of the numbers before a logarithm costs less than the logarithms it saves, as long as there are many.
_HALVINGS = 3


def softmax(sub_batch: SubBatch) -> Tensor:
    """Return ``-log p`` of eq. 7, summed over anchors, and add its gradient to the anchors.

    One pass and two products are enough: the negatives' part of the gradient is linear in h, so it can be divided by
    the sum of all h at the end.
    """
    sums = [_sum_h_with_gradient_BA(anchors, blocks) for anchors, blocks in sub_batch.scores(passes=1)]
    losses = []
    for anchors, sum_BA in zip(sub_batch.anchors, sub_batch.totals(sums), strict=True):
        log_p_BA = anchors.positive_scores_BA - sum_BA.log()
        anchors.gradient_BAE /= sum_BA[..., None]
        anchors.add_positive_gradient(log_p_BA.exp() - 1)
        losses.append(-anchors.counted(log_p_BA).sum())
    return torch.stack(losses).sum()


def _sum_h_with_gradient_BA(anchors: Anchors, blocks: ScoreBlocks) -> Tensor:  # noqa: N802
    """Return the same as :func:`_sum_h_BA`, and add the gradient of the negatives' part to the anchors."""
    sum_BA = anchors.counted(anchors.positive_scores_BA.exp())
    for block in blocks:
        h_BAn = block.times_multiplicity(block.h, out=block.h)
        sum_BA += h_BAn.sum(-1)
        block.add_key_gradient(h_BAn)
    return sum_BA


def nce(sub_batch: SubBatch) -> Tensor:
    """Return the loss of eq. 11 with one Z per anchor, summed over anchors, and add its gradient to the anchors.

    Two passes are needed: the slope of a softplus is not linear in h, so Z must be known first.
    """
    losses = []
    for anchors, blocks in sub_batch.scores(passes=2):
        log_mean_BA = (_sum_h_BA(anchors, blocks) / (1 + sub_batch.counts_B1)).log()
        losses.append(_nce(anchors, blocks, log_mean_BA, sub_batch.counts_B1, _softplus_with_anchor_z))
    return torch.stack(losses).sum()


def nce_of_shards(sub_batch: SubBatch) -> Tensor:
    """Return the same as :func:`nce` for the keys of one process. All Z are exchanged at once, so no score is kept."""
    sums = [_sum_h_BA(anchors, blocks) for anchors, blocks in sub_batch.scores(passes=1)]
    log_means = [(sum_BA / (1 + sub_batch.counts_B1)).log() for sum_BA in sub_batch.totals(sums)]
    return nce_with_known_z(sub_batch, log_means)


def nce_with_known_z(sub_batch: SubBatch, log_means: Sequence[Tensor]) -> Tensor:
    """Return the same as :func:`nce`, given log(Z / N) for each bank: a scalar, or values (A) or (B, A)."""
    scores = zip(sub_batch.scores(passes=1), log_means, strict=True)
    counts_B1 = sub_batch.counts_B1
    losses = [
        _nce(anchors, blocks, log_mean, counts_B1, _softplus_with_known_z) for (anchors, blocks), log_mean in scores
    ]
    return torch.stack(losses).sum()


def mean_h(sub_batches: Sequence[SubBatch]) -> list[Tensor]:
    """Return for each bank the mean of h over positives and negatives of the whole batch, by anchor peer (A)."""
    scored = torch.stack([(1 + sub_batch.counts_B1).sum() for sub_batch in sub_batches]).sum()
    sums = [
        [_sum_h_BA(anchors, blocks).sum(0) for anchors, blocks in sub_batch.scores(passes=1)]
        for sub_batch in sub_batches
    ]
    of_banks = [torch.stack(of_bank).sum(0) for of_bank in zip(*sums, strict=True)]
    return [sum_A / scored for sum_A in sub_batches[0].totals(of_banks)]


def _sum_h_BA(anchors: Anchors, blocks: ScoreBlocks) -> Tensor:  # noqa: N802
    """Return the sum of h over the positive and all negatives of each anchor."""
    sum_BA = anchors.counted(anchors.positive_scores_BA.exp())
    for block in blocks:
        sum_BA += block.times_multiplicity(block.h, out=block.scratch).sum(-1)
    return sum_BA


_Softplus = Callable[[ScoreBlock, Tensor], tuple[Tensor, Tensor]]
"""Maps a block and z (B, A, 1) to the sum of softplus(u) with multiplicities, and to -sigmoid(u).

Both implementations overwrite h and scratch; -sigmoid(u) is returned in the memory of h.
"""


def _nce(anchors: Anchors, blocks: ScoreBlocks, log_mean: Tensor, counts_B1: Tensor, softplus: _Softplus) -> Tensor:
    """Return the loss of eq. 11 for one bank, and add its gradient to the anchors.

    ``Z = N * mean(h)``, so N cancels in ``u = s - log Z - log(S / N)``, and the loss is
    ``softplus(-u_0) + sum_k softplus(u_k)``. With ``z = S mean(h)``, ``exp(u_k) = h_k / z``.
    """
    # Without negatives u_0 is infinite, so p_0 is 1 and the loss is 0.
    u_BA = anchors.positive_scores_BA - log_mean - counts_B1.log()
    loss = anchors.counted(F.softplus(-u_BA)).sum()
    z_BA1 = (log_mean.exp() * counts_B1.clamp(min=1)).expand_as(u_BA)[..., None]
    for block in blocks:
        softplus_sum, minus_sigmoid_BAn = softplus(block, z_BA1)
        loss += softplus_sum
        block.add_key_gradient(block.times_multiplicity(minus_sigmoid_BAn, out=minus_sigmoid_BAn))
    anchors.gradient_BAE.neg_()
    anchors.add_positive_gradient(u_BA.sigmoid() - 1)
    return loss


def _softplus_with_known_z(block: ScoreBlock, z_BA1: Tensor) -> tuple[Tensor, Tensor]:
    softplus_BAn = torch.div(block.h, z_BA1, out=block.scratch).log1p_()
    softplus_sum = block.times_multiplicity(softplus_BAn, out=softplus_BAn).sum()
    return softplus_sum, _minus_sigmoid(block, z_BA1)


def _softplus_with_anchor_z(block: ScoreBlock, z_BA1: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the softplus as ``-log(1 - sigmoid(u))``, which saves a pass over the block.

    exp(u) sums to at most 2 over the samples whose mean gives Z, so no sigmoid gets close to 1 and no product of
    1 - sigmoid(u) falls below exp(-2). Only that of a sample that was not drawn may be 1: its logarithm is kept finite,
    because it is multiplied by 0.
    """
    minus_sigmoid_BAn = _minus_sigmoid(block, z_BA1)
    if block.keys.multiplicity is None:
        return -_log1p_sum(minus_sigmoid_BAn, block.scratch), minus_sigmoid_BAn
    above_minus_one = torch.finfo(minus_sigmoid_BAn.dtype).eps - 1
    log_BAn = torch.clamp(minus_sigmoid_BAn, min=above_minus_one, out=block.scratch).log1p_()
    return -block.times_multiplicity(log_BAn, out=log_BAn).sum(), minus_sigmoid_BAn


def _minus_sigmoid(block: ScoreBlock, z_BA1: Tensor) -> Tensor:
    """Return -sigmoid(u) in the memory of h."""
    return block.h.div_(torch.sub(-z_BA1, block.h, out=block.scratch))


def _log1p_sum(x_BAn: Tensor, scratch_BAn: Tensor) -> Tensor:
    """Return the sum of ``log(1 + x)``, computed with an eighth as many logarithms. Overwrites ``scratch_BAn``."""
    remainder = x_BAn.new_zeros(())
    for _ in range(_HALVINGS):
        # (1 + a) (1 + b) = 1 + (a + ab + b). From the second time on, a and the output are the same memory.
        half = x_BAn.shape[-1] // 2
        a, b, odd = x_BAn.split([half, half, x_BAn.shape[-1] - 2 * half], dim=-1)
        x_BAn = torch.addcmul(a, a, b, out=scratch_BAn[..., :half]).add_(b)
        if odd.shape[-1]:
            remainder += odd.log1p().sum()
    return remainder + torch.log1p(x_BAn, out=scratch_BAn[..., : x_BAn.shape[-1]]).sum()
