"""Distillation from the ensemble of the peers, and the ensemble's own cross-entropy.

The method decides how the ensemble is formed: see ``ensemble`` of :class:`peerdistill.terms.Method`.
"""

from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput
from peerdistill.terms.batch import Batch
from peerdistill.terms.divergence import SoftenedTerm


class EnsembleToLeader(SoftenedTerm):
    """The leader learns from the ensemble: ``KL_T(z_e -> z_M)`` (eq. 3 to 5 with the factor T^2 of eq. 12).

    No gradient flows through the ensemble, so the other peers do not learn from this term.

    Example:
        >>> import torch
        >>> from peerdistill import CohortOutput
        >>> from peerdistill.terms import Batch, EnsembleToLeader
        >>> logits = torch.randn(3, 4, 10)  # (peers, batch, classes)
        >>> out = CohortOutput(logits, features=torch.randn(3, 4, 64), stem=torch.randn(4, 16), ensemble=logits[-1])
        >>> batch = Batch(labels=torch.arange(4), indices=torch.arange(4))
        >>> EnsembleToLeader(temperature=3.0)(out, batch).item()  # the leader already agrees with this ensemble
        0.0
    """

    accepts_mixed = True

    def __init__(self, temperature: float = 3.0):
        super().__init__(temperature)

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the leader's divergence from the ensemble."""
        return self.divergence(out.ensemble, out.logits[-1])


class EnsembleToPeers(SoftenedTerm):
    """Each peer learns from the ensemble (ONE; Lan et al., NeurIPS 2018): ``sum_m KL_T(z_e -> z_m)``.

    No gradient flows through the ensemble.
    """

    accepts_mixed = True

    def __init__(self, temperature: float = 3.0):
        super().__init__(temperature)

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the peers' divergences from the ensemble."""
        return self.divergence(out.ensemble.expand_as(out.logits), out.logits)


class EnsembleCrossEntropy(nn.Module):
    """Cross-entropy of the ensemble with the labels, ``CE(z_e)``. Gradient flows into the ensemble and the peers.

    Mixed images, label smoothing and class weights are treated as in :class:`CrossEntropy`.
    """

    accepts_mixed = True

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the ensemble's cross-entropy."""
        return batch.criterion(out.ensemble, batch.labels, batch.targets)
