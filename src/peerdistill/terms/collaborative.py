"""Distillation from one target that is computed from all peers and the label (KDCL; Guo et al., CVPR 2020).

Axes: M peers, B batch, C classes.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from peerdistill.cohort import CohortOutput
from peerdistill.errors import unknown_name
from peerdistill.terms.batch import Batch
from peerdistill.terms.convex import best_weights
from peerdistill.terms.divergence import SoftenedTerm

Target = Literal["naive", "linear", "min-logit"]


def best_peer(margins_MBC: Float[Tensor, "peers batch classes"]) -> Float[Tensor, "batch classes"]:
    """Return for each sample the scores of the peer with the lowest cross-entropy."""
    # The score of the label is 0, so the cross-entropy is the log-sum-exp of the scores.
    best_B = margins_MBC.logsumexp(-1).argmin(0)
    return margins_MBC.take_along_dim(best_B[None, :, None], dim=0)[0]


def best_combination(margins_MBC: Float[Tensor, "peers batch classes"]) -> Float[Tensor, "batch classes"]:
    """Return for each sample the convex combination of the peers' scores with the lowest cross-entropy."""
    weights_BM = best_weights(margins_MBC)
    return torch.einsum("bm,mbc->bc", weights_BM, margins_MBC.to(weights_BM.dtype))


def lowest_scores(margins_MBC: Float[Tensor, "peers batch classes"]) -> Float[Tensor, "batch classes"]:
    """Return for each class the lowest score. The result has a lower cross-entropy than every peer."""
    return margins_MBC.amin(0)


_TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "naive": best_peer,
    "linear": best_combination,
    "min-logit": lowest_scores,
}


class CollaborativeTarget(SoftenedTerm):
    """All peers learn from the same target: ``sum_m KL_T(t -> z_m)``. No gradient flows through the target.

    The target needs the label of a sample, so mixed images are left out. It uses no label smoothing or class weights.

    The target is computed from the margins ``u_mc = z_mc - z_my`` to the label y, whose softmax is that of z.

    Args:
        temperature: Temperature T of the divergences.
        target: For each sample, "naive" is the peer with the lowest cross-entropy, "linear" the convex combination of
            the peers with the lowest cross-entropy, and "min-logit" the lowest margin per class, ``t_c = min_m u_mc``.

    Raises:
        UserError: For an unknown target, or a temperature that is not above 0.
    """

    def __init__(self, temperature: float = 2.0, target: Target = "min-logit"):
        super().__init__(temperature)
        if target not in _TARGETS:
            raise unknown_name("target", target, _TARGETS)
        self.target = target

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the peers' divergences from the target."""
        logits_MBC = out.logits.detach()
        margins_MBC = logits_MBC - logits_MBC.take_along_dim(batch.labels[None, :, None], dim=2)
        return self.divergence(_TARGETS[self.target](margins_MBC).expand_as(out.logits), out.logits)
