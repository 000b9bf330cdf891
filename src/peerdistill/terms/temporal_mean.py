"""Peers that learn from the running means of the others (PCL; Wu and Gong, AAAI 2021).

Axes: M peers, B batch, C classes.
"""

from copy import deepcopy

import torch
from jaxtyping import Float, Int
from torch import Tensor

from peerdistill.cohort import Cohort, CohortOutput
from peerdistill.errors import UserError
from peerdistill.terms.batch import Batch
from peerdistill.terms.divergence import SoftenedTerm
from peerdistill.terms.mutual import divergence_from_others


class MeanPeersToPeers(SoftenedTerm):
    """Every peer learns from the running means of the others: ``sum_m 1 / (M - 1) sum_{j != m} KL_T(mean_j -> z_m)``.

    A running mean is a peer whose weights follow those of the peer itself, ``mean <- phi mean + (1 - phi) weights``
    after step g with ``phi = min(1 - 1 / g, momentum)``: the mean of all steps at first, an exponential one later
    (Tarvainen and Valpola, NeurIPS 2017). :meth:`after_step` moves them on.

    The means see the images that the peers see, without gradient and in training mode: batch norm takes the batch's own
    statistics, as it does in the peers, and keeps running statistics of its own. Means share the stages that peers
    share. They are part of a checkpoint, and no part of the leader.

    Args:
        cohort: The peers, from whose weights the means start.
        temperature: Temperature T that softens the distributions.
        momentum: Largest share of itself that a mean keeps at a step.

    Raises:
        UserError: For a momentum outside 0 to 1, or a temperature that is not above 0.
    """

    steps: Int[Tensor, ""]

    def __init__(self, cohort: Cohort, temperature: float = 3.0, momentum: float = 0.999):
        super().__init__(temperature)
        if not 0 <= momentum < 1:
            raise UserError(f"momentum must be at least 0 and below 1, found {momentum}")
        self.momentum = momentum
        self.means = deepcopy(cohort).requires_grad_(False)
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the peers' divergences from the others' means."""
        assert batch.images is not None
        with torch.no_grad():
            targets_MBC = self.means(batch.images).logits
        return divergence_from_others(targets_MBC, out.logits, self.temperature)

    @torch.no_grad()
    def after_step(self, cohort: Cohort) -> None:
        """Move the means towards the weights that the optimiser has just changed."""
        self.steps += 1
        # On the device throughout: a step never waits for it.
        share = self.steps.reciprocal().clamp(min=1 - self.momentum)
        for mean, weight in zip(self.means.parameters(), cohort.parameters(), strict=True):
            mean.lerp_(weight, share.to(mean.dtype))
