"""Learning from the ensemble of the peers, in whatever way the method forms it."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.cohort import CohortOutput
from peerdistill.terms.divergence import check_temperature, kl_from, softened


class EnsembleToLeader(nn.Module):
    """The leader alone learns from the ensemble (eq. 3 to 5 with the factor T^2 of eq. 12).

    The ensemble is a target: no gradient flows through it, so the other peers keep their own views.

    Args:
        temperature: Temperature T that softens both distributions.

    Raises:
        UserError: For a temperature that is not above 0.
    """

    def __init__(self, temperature: float = 3.0):
        super().__init__()
        self.temperature = check_temperature(temperature)

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the leader's divergence from the ensemble; ``labels`` and ``indices`` are not used."""
        del labels, indices
        target = softened(out.ensemble.detach(), self.temperature)
        return kl_from(target, softened(out.logits[-1], self.temperature), self.temperature)


class EnsembleToPeers(nn.Module):
    """Every peer learns from the ensemble (ONE; Zhu et al., NeurIPS 2018): ``sum_m KL_T(z_e -> z_m)``.

    The ensemble is a target: no gradient flows through it.

    Args:
        temperature: Temperature T that softens the distributions.

    Raises:
        UserError: For a temperature that is not above 0.
    """

    def __init__(self, temperature: float = 3.0):
        super().__init__()
        self.temperature = check_temperature(temperature)

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the sum of the peers' divergences from the ensemble; ``labels`` and ``indices`` are not used."""
        del labels, indices
        target_BC = softened(out.ensemble.detach(), self.temperature)
        log_p_MBC = softened(out.logits, self.temperature)
        return kl_from(target_BC.expand_as(log_p_MBC), log_p_MBC, self.temperature)


class EnsembleCrossEntropy(nn.Module):
    """The ensemble learns from labels: its gradient reaches the peers and whatever forms the ensemble."""

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the ensemble's cross-entropy; ``indices`` are not used."""
        del indices
        return F.cross_entropy(out.ensemble, labels)
