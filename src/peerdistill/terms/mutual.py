"""Peers that learn from each other's class distributions.

Axes: M peers, B batch, C classes.
"""

from jaxtyping import Float, Int
from torch import Tensor

from peerdistill.cohort import CohortOutput
from peerdistill.terms.divergence import SoftenedTerm, softened


class MutualKL(SoftenedTerm):
    """Every peer learns from every other one (deep mutual learning; Zhang et al., CVPR 2018).

    ``sum_m 1 / (M - 1) sum_{j != m} KL_T(z_j -> z_m)``; the targets z_j carry no gradient.
    """

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the sum over peers of the mean divergence from the others; ``labels`` and ``indices`` are not used."""
        del labels, indices
        peers, batch, _ = out.logits.shape
        log_p_MBC = softened(out.logits, self.temperature)
        target_MBC = log_p_MBC.detach()
        # Over all pairs at once: a peer's divergence from itself is 0, and only sums over peers are multiplied.
        probability_MBC = target_MBC.exp()
        own = peers * (probability_MBC * target_MBC).sum()
        crossed = (probability_MBC.sum(0) * log_p_MBC.sum(0)).sum()
        # The pair of a peer with itself has value 0 but, its target being detached, a gradient: take it out again.
        itself = (probability_MBC * (target_MBC - log_p_MBC)).sum()
        return self.temperature**2 * (own - crossed - itself) / ((peers - 1) * batch)


class OthersToPeer(SoftenedTerm):
    """Every peer learns from the mean of the others' logits (collaborative learning; Song and Chai, NeurIPS 2018).

    ``sum_m KL_T(q_m -> z_m)`` with ``q_m = mean_{j != m} z_j``, which carries no gradient.
    """

    def __init__(self, temperature: float = 2.0):
        super().__init__(temperature)

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the sum of the peers' divergences from the others; ``labels`` and ``indices`` are not used."""
        del labels, indices
        logits_MBC = out.logits.detach()
        others_MBC = (logits_MBC.sum(0) - logits_MBC) / (len(logits_MBC) - 1)
        return self.divergence(others_MBC, out.logits)
