"""Peers that learn from one target, formed from all of them with a look at the label (KDCL; Guo et al., CVPR 2020).

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
    """Return the scores of the peer with the least cross-entropy, sample by sample."""
    # The cross-entropy of scores whose label has 0 is their log-sum-exp.
    best_B = margins_MBC.logsumexp(-1).argmin(0)
    return margins_MBC.take_along_dim(best_B[None, :, None], dim=0)[0]


def best_combination(margins_MBC: Float[Tensor, "peers batch classes"]) -> Float[Tensor, "batch classes"]:
    """Return the convex combination of the peers' scores with the least cross-entropy, sample by sample."""
    weights_BM = best_weights(margins_MBC)
    return torch.einsum("bm,mbc->bc", weights_BM, margins_MBC.to(weights_BM.dtype))


def least_scores(margins_MBC: Float[Tensor, "peers batch classes"]) -> Float[Tensor, "batch classes"]:
    """Return the least score of each class: its cross-entropy is below that of every peer."""
    return margins_MBC.amin(0)


_TARGETS: dict[str, Callable[[Tensor], Tensor]] = {
    "naive": best_peer,
    "linear": best_combination,
    "min-logit": least_scores,
}


class CollaborativeTarget(SoftenedTerm):
    """Every peer learns from one target: ``sum_m KL_T(t -> z_m)``; the target carries no gradient.

    It is formed from the margins ``u_mc = z_mc - z_my`` to the label y, which have the softmax of z.

    Args:
        temperature: Temperature T that softens the distributions.
        target: "naive" takes the peer with the least cross-entropy, "linear" the convex combination with the least
            cross-entropy (both sample by sample), "min-logit" the least margin of each class, ``t_c = min_m u_mc``.

    Raises:
        UserError: For another target, or a temperature that is not above 0.
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
