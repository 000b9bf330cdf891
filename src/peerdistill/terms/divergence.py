"""Kullback-Leibler divergence of softened class distributions.

Axes: B batch, C classes. There may be further leading axes, such as M peers.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.errors import UserError


def softened(
    logits: Float[Tensor, "*peers batch classes"], temperature: float
) -> Float[Tensor, "*peers batch classes"]:
    """Return ``log softmax(logits / T)`` (eq. 3, 4)."""
    return F.log_softmax(logits / temperature, dim=-1)


def kl_from(
    log_target: Float[Tensor, "*peers batch classes"],
    log_probability: Float[Tensor, "*peers batch classes"],
    temperature: float,
) -> Float[Tensor, ""]:
    """Return ``T^2 KL(target || probability)``, summed over peers and averaged over the batch.

    The factor T^2 keeps the scale of the gradient independent of T (eq. 12). Gradient flows into both arguments: detach
    a target that must not learn.
    """
    batch = log_target.shape[-2]
    divergence = F.kl_div(log_probability, log_target, reduction="sum", log_target=True)
    return temperature**2 * divergence / batch


class SoftenedTerm(nn.Module):
    """Base class of terms that compare softened class distributions.

    A subclass that compares predictions for the same image, and uses no label, accepts mixed images: it has
    ``accepts_mixed = True``.

    Args:
        temperature: Temperature T of the divergences, above 0.

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
        """Return ``KL_T(target -> logits)`` of two sets of scores, summed over peers. The target is detached."""
        return kl_from(
            softened(target.detach(), self.temperature), softened(logits, self.temperature), self.temperature
        )
