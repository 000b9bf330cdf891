"""Mutual distillation between the class distributions of the peers.

Axes: M peers, B batch, C classes.
"""

from jaxtyping import Float
from torch import Tensor

from peerdistill.cohort import CohortOutput
from peerdistill.terms.batch import Batch
from peerdistill.terms.divergence import SoftenedTerm, softened


def divergence_from_others(
    targets_MBC: Float[Tensor, "peers batch classes"],
    logits_MBC: Float[Tensor, "peers batch classes"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Return ``sum_m 1 / (M - 1) sum_{j != m} KL_T(t_j -> z_m)``. No gradient flows through the targets t_j."""
    peers, batch, _ = logits_MBC.shape
    log_target_MBC = softened(targets_MBC.detach(), temperature)
    target_MBC = log_target_MBC.exp()
    # Each target is used by M - 1 peers, and each peer needs only the sum of the other targets, so no loop over pairs.
    own = (peers - 1) * (target_MBC * log_target_MBC).sum()
    crossed = ((target_MBC.sum(0) - target_MBC) * softened(logits_MBC, temperature)).sum()
    return temperature**2 * (own - crossed) / ((peers - 1) * batch)


class MutualKL(SoftenedTerm):
    """Each peer learns from each other peer (deep mutual learning; Zhang et al., CVPR 2018).

    ``sum_m 1 / (M - 1) sum_{j != m} KL_T(z_j -> z_m)``. No gradient flows through the targets z_j.

    Example:
        >>> import torch
        >>> from peerdistill import CohortOutput
        >>> from peerdistill.terms import Batch, MutualKL
        >>> logits = torch.randn(3, 4, 10, requires_grad=True)  # (peers, batch, classes)
        >>> out = CohortOutput(logits, features=torch.randn(3, 4, 64), stem=torch.randn(4, 16), ensemble=logits.mean(0))
        >>> MutualKL(temperature=2.0)(out, Batch(labels=torch.arange(4), indices=torch.arange(4))).backward()
        >>> logits.grad.shape
        torch.Size([3, 4, 10])
    """

    accepts_mixed = True

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum over peers of the mean divergence from the other peers."""
        return divergence_from_others(out.logits, out.logits, self.temperature)


class OthersToPeer(SoftenedTerm):
    """Each peer learns from the mean logits of the other peers (collaborative learning; Song and Chai, NeurIPS 2018).

    ``sum_m KL_T(q_m -> z_m)`` with ``q_m = mean_{j != m} z_j``. No gradient flows through q_m.
    """

    accepts_mixed = True

    def __init__(self, temperature: float = 2.0):
        super().__init__(temperature)

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the peers' divergences from the mean of the other peers."""
        logits_MBC = out.logits.detach()
        others_MBC = (logits_MBC.sum(0) - logits_MBC) / (len(logits_MBC) - 1)
        return self.divergence(others_MBC, out.logits)
