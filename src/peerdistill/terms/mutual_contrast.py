"""Mutual contrastive learning within a batch (MCL; Yang et al., AAAI 2022).

Axes: M peers, P ordered pairs of peers, B batch, K samples that a sample is compared with, E embedding width.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput
from peerdistill.contrast.in_batch import scores_across, scores_within, supervised_contrast, without_self
from peerdistill.errors import UserError, unknown_name
from peerdistill.terms.batch import Batch
from peerdistill.terms.divergence import SoftenedTerm
from peerdistill.terms.mutual import divergence_from_others

Compared = Literal["others", "all"]


class InBatchScores(nn.Module):
    """Embedding heads and scores that the four terms below share. Each batch is embedded once for all of them.

    Labels and the other samples of the batch define these terms, so mixed images are left out.

    A head consists of two linear layers with a ReLU in between.

    Args:
        feature_widths: Width D of each peer's penultimate features.
        width: Width E of the embeddings.
        tau: Temperature of the cosine similarities.

    Raises:
        UserError: For a width below 1, or a temperature that is not above 0.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort
        >>> from peerdistill.terms import Batch, InBatchScores, SoftVanillaContrast, VanillaContrast
        >>> cohort = Cohort("resnet20", classes=10, peers=2)
        >>> scores = InBatchScores(cohort.widths, width=64)
        >>> terms = [VanillaContrast(scores), SoftVanillaContrast(scores)]
        >>> out, batch = cohort(torch.rand(4, 3, 32, 32)), Batch(torch.tensor([0, 0, 1, 1]), torch.arange(4))
        >>> sum(term(out, batch) for term in terms).shape  # the embeddings are computed once
        torch.Size([])
    """

    def __init__(self, feature_widths: Sequence[int], width: int = 128, tau: float = 0.07):
        super().__init__()
        if width < 1:
            raise UserError(f"width must be at least 1, found {width}")
        if not 0 < tau < math.inf:
            raise UserError(f"tau must be above 0, found {tau}")
        self.tau = tau
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(feature_width, width), nn.ReLU(), nn.Linear(width, width))
            for feature_width in feature_widths
        )

    def embeddings(self, out: CohortOutput) -> Float[Tensor, "peers batch width"]:
        """Return the peers' embeddings, not normalised."""
        return torch.stack([head(features) for head, features in zip(self.heads, out.features, strict=True)])

    def within(self, out: CohortOutput, batch: Batch) -> Float[Tensor, "peers batch batch"]:
        """Return the scores of all pairs of samples for each peer."""
        return scores_within(batch.once(self.embeddings, out), self.tau)

    def across(
        self, out: CohortOutput, batch: Batch
    ) -> tuple[Float[Tensor, "pairs batch batch"], Float[Tensor, "pairs batch batch"]]:
        """Return the scores of each ordered pair of peers (a, b), and those of (b, a)."""
        return scores_across(batch.once(self.embeddings, out), self.tau)


class VanillaContrast(nn.Module):
    """Supervised contrast of each peer's embeddings: ``sum_m VCL_m``."""

    def __init__(self, scores: InBatchScores):
        super().__init__()
        self.scores = scores

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the peers' contrastive losses."""
        return supervised_contrast(batch.once(self.scores.within, out, batch), batch.labels)


class InteractiveContrast(nn.Module):
    """Supervised contrast of one peer's anchors with another peer's embeddings: ``sum_{a != b} ICL_ab``."""

    def __init__(self, scores: InBatchScores):
        super().__init__()
        self.scores = scores

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the contrastive losses of all ordered pairs."""
        scores_PBB, _ = batch.once(self.scores.across, out, batch)
        return supervised_contrast(scores_PBB, batch.labels)


class _SoftContrast(SoftenedTerm):
    """Base class of both divergences between contrastive distributions.

    Args:
        scores: Heads and temperature tau.
        temperature: Temperature T of the divergences, which softens the distributions further.
        compared: Whether a distribution is over the "others" of the batch (the paper) or over "all" samples including
            the anchor (the released code).

    Raises:
        UserError: For an unknown value of ``compared``, or a temperature that is not above 0.
    """

    def __init__(self, scores: InBatchScores, temperature: float = 3.0, compared: Compared = "others"):
        super().__init__(temperature)
        if compared not in ("others", "all"):
            raise unknown_name("compared", compared, ("others", "all"))
        self.scores = scores
        self.compared = compared

    def _compared(self, scores: Tensor) -> Tensor:
        return without_self(scores) if self.compared == "others" else scores


class SoftVanillaContrast(_SoftContrast):
    """Peers learn each other's contrastive distributions: ``sum_{a != b} KL_T(p_b -> p_a)``.

    ``p_a`` is the softmax of the scores within peer a. No gradient flows through the targets p_b.
    """

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the divergences of all ordered pairs."""
        scores_MBK = self._compared(batch.once(self.scores.within, out, batch))
        return (len(scores_MBK) - 1) * divergence_from_others(scores_MBK, scores_MBK, self.temperature)


class SoftInteractiveContrast(_SoftContrast):
    """Each pair of peers learns the distributions of the reverse pair: ``sum_{a != b} KL_T(q_ba -> q_ab)``.

    ``q_ab`` is the softmax of the scores of a's samples with b's. No gradient flows through the targets q_ba.
    """

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the divergences of all ordered pairs."""
        scores_PBB, reverse_PBB = batch.once(self.scores.across, out, batch)
        return self.divergence(self._compared(reverse_PBB), self._compared(scores_PBB))
