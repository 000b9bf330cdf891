"""Learning from the ensemble of all peers.

Axes: B batch, C classes.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.cohort import CohortOutput
from peerdistill.errors import UserError


def mean_logits(out: CohortOutput) -> Float[Tensor, "batch classes"]:
    """Return the naive ensemble: the mean of all peers' logits (eq. 4)."""
    return out.logits.mean(0)


def softened_kl(
    target_BC: Float[Tensor, "batch classes"], logits_BC: Float[Tensor, "batch classes"], temperature: float
) -> Float[Tensor, ""]:
    """Return ``T^2 KL(target || logits)`` of the distributions softened by T, mean over the batch.

    The target is given as logits; whether gradient flows into it is the caller's choice. The factor T^2 keeps the
    gradient's size independent of T (eq. 12).
    """
    log_target_BC = F.log_softmax(target_BC / temperature, dim=-1)
    log_probability_BC = F.log_softmax(logits_BC / temperature, dim=-1)
    divergence = F.kl_div(log_probability_BC, log_target_BC, reduction="batchmean", log_target=True)
    return temperature**2 * divergence


class EnsembleToLeader(nn.Module):
    """The leader alone learns from the mean of all peers' logits (eq. 3 to 5 with the factor T^2 of eq. 12).

    The ensemble is a target: no gradient flows through it, so the other peers keep their own views.

    Args:
        temperature: Temperature T that softens both distributions.

    Raises:
        UserError: For a temperature that is not above 0.
    """

    def __init__(self, temperature: float = 3.0):
        super().__init__()
        if temperature <= 0:
            raise UserError(f"temperature must be above 0, found {temperature}")
        self.temperature = temperature

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the leader's divergence from the ensemble; ``labels`` and ``indices`` are not used."""
        del labels, indices
        return softened_kl(mean_logits(out).detach(), out.logits[-1], self.temperature)
