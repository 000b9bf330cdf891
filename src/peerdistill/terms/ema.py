"""Distillation from exponential moving averages (EMA) of the other peers (PCL; Wu and Gong, AAAI 2021).

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


class EMAPeersToPeers(SoftenedTerm):
    """Each peer learns from the EMAs of the other peers: ``sum_m 1 / (M - 1) sum_{j != m} KL_T(ema_j -> z_m)``.

    :meth:`after_step` updates the weights of the EMA peers after optimiser step g: ``ema <- phi ema + (1 - phi)
    weights`` with ``phi = min(1 - 1 / g, momentum)``. This is the mean over all steps at first and an exponential
    moving average later (Tarvainen and Valpola, NeurIPS 2017).

    The EMA peers get the same images as the peers, without gradient and in training mode: batch norm uses the
    statistics of the batch and updates its own running statistics. They share the same stages as the peers. They are
    part of checkpoints but not of the leader.

    Args:
        cohort: The peers. The EMA starts from their weights.
        temperature: Temperature T of the divergences.
        momentum: Largest value of phi, at least 0 and below 1.

    Raises:
        UserError: If ``momentum`` or ``temperature`` is out of range.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort
        >>> from peerdistill.terms import CrossEntropy, EMAPeersToPeers, Method, Weighted
        >>> cohort = Cohort("resnet20", classes=10, peers=2)
        >>> method = Method(
        ...     [Weighted("cross_entropy", 1.0, CrossEntropy()), Weighted("ema", 1.0, EMAPeersToPeers(cohort))]
        ... )
        >>> optimizer = torch.optim.SGD(cohort.parameters(), lr=0.1)
        >>> loss = method(cohort(torch.rand(4, 3, 32, 32)), labels=torch.arange(4), indices=torch.arange(4))
        >>> loss.total.backward()
        >>> optimizer.step()
        >>> method.after_step(cohort)  # updates the averages
    """

    accepts_mixed = True
    steps: Int[Tensor, ""]

    def __init__(self, cohort: Cohort, temperature: float = 3.0, momentum: float = 0.999):
        super().__init__(temperature)
        if not 0 <= momentum < 1:
            raise UserError(f"momentum must be at least 0 and below 1, found {momentum}")
        self.momentum = momentum
        self.means = deepcopy(cohort).requires_grad_(False)
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the peers' mean divergences from the EMAs of the others."""
        with torch.no_grad():
            targets_MBC = batch.through(self.means)
        return divergence_from_others(targets_MBC, out.logits, self.temperature)

    def start_from(self, cohort: Cohort) -> None:
        """Start the EMA from the weights of ``cohort``."""
        self.means.load_state_dict(cohort.state_dict())
        self.steps.zero_()

    @torch.no_grad()
    def after_step(self, cohort: Cohort) -> None:
        """Update the EMA with the weights after an optimiser step."""
        self.steps += 1
        # Computed on the device, so the host does not wait for it.
        new_weight = self.steps.reciprocal().clamp(min=1 - self.momentum)
        for average, weight in zip(self.means.parameters(), cohort.parameters(), strict=True):
            average.lerp_(weight, new_weight.to(average.dtype))
