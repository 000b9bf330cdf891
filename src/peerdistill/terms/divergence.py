"""Divergence of softened class distributions, the currency of distillation.

Axes: B batch, C classes; leading axes such as M peers are free.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.errors import UserError


def softened(
    logits: Float[Tensor, "*peers batch classes"], temperature: float
) -> Float[Tensor, "*peers batch classes"]:
    """Return the log-probabilities of logits softened by temperature T (eq. 3, 4)."""
    return F.log_softmax(logits / temperature, dim=-1)


def kl_from(
    log_target: Float[Tensor, "*peers batch classes"],
    log_probability: Float[Tensor, "*peers batch classes"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Return ``T^2 KL(target || probability)``, summed over peers, mean over the batch.

    The factor T^2 keeps the gradient's size independent of T (eq. 12). Gradient flows into both arguments: detach what
    must not learn.
    """
    batch = log_target.shape[-2]
    divergence = F.kl_div(log_probability, log_target, reduction="sum", log_target=True)
    return temperature**2 * divergence / batch


class SoftenedTerm(nn.Module):
    """What terms that compare softened class distributions have in common.

    Args:
        temperature: Temperature T that softens the distributions.

    Raises:
        UserError: For a temperature that is not above 0.
    """

    def __init__(self, temperature: float):
        super().__init__()
        if not 0 < temperature < math.inf:
            raise UserError(f"temperature must be above 0, found {temperature}")
        self.temperature = temperature

    def divergence(
        self, target: Float[Tensor, "*peers batch classes"], logits: Float[Tensor, "*peers batch classes"]
    ) -> Float[Tensor, ""]:
        """Return ``KL_T(target -> logits)`` of scores, summed over peers; the target carries no gradient."""
        return kl_from(
            softened(target.detach(), self.temperature), softened(logits, self.temperature), self.temperature
        )
