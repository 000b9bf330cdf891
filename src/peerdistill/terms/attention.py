"""Two-level distillation: attention among auxiliary peers, then from the group to the leader (OKDDip).

Chen et al., "Online knowledge distillation with diverse peers", AAAI 2020.

Axes: A auxiliary peers (all but the leader), B batch, C classes, D feature width.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput
from peerdistill.terms.batch import Batch
from peerdistill.terms.divergence import SoftenedTerm, kl_from, softened

Mix = Literal["probabilities", "logits"]
StopGradient = Literal["none", "logits"]


class _GroupTarget(SoftenedTerm):
    """Base class of both levels of distillation: mixes the targets.

    Args:
        temperature: Temperature T of the divergences.
        mix: Whether targets are mixtures of softened "probabilities" (the paper) or of "logits" (the released code).
        stop_gradient: "none" lets gradient flow through the targets, as the released code does. "logits" detaches the
            mixed logits, so that only the weights of the mixture learn from the targets.
    """

    def __init__(self, temperature: float, mix: Mix, stop_gradient: StopGradient):
        super().__init__(temperature)
        self.mix = mix
        self.stop_gradient = stop_gradient

    def log_targets(
        self, log_weights_BTA: Float[Tensor, "batch targets peers"], logits_ABC: Float[Tensor, "peers batch classes"]
    ) -> Float[Tensor, "targets batch classes"]:
        """Return the log-probabilities of mixtures of the peers. The weights of each mixture sum to 1."""
        if self.stop_gradient == "logits":
            logits_ABC = logits_ABC.detach()
        if self.mix == "logits":
            return softened(torch.einsum("bta,abc->tbc", log_weights_BTA.exp(), logits_ABC), self.temperature)
        log_p_BAC = softened(logits_ABC, self.temperature).transpose(0, 1)
        return (log_weights_BTA[..., None] + log_p_BAC[:, None]).logsumexp(2).transpose(0, 1)


class AttentionTargets(_GroupTarget):
    """Each auxiliary peer a learns from an attention-weighted mixture of all auxiliaries: ``sum_a KL_T(t_a -> z_a)``.

    ``t_a = sum_b alpha_ab z_b`` with ``alpha_ab = softmax_b((W_q v_a) . (W_k v_b))`` of the features v of each sample.
    Gradient flows through the target, which trains W_q and W_k.

    Args:
        feature_width: Width D of the auxiliaries' penultimate features.
        temperature: Temperature T of the divergences.
        mix: Whether targets are mixtures of softened "probabilities" (the paper) or of "logits" (the released code).
        stop_gradient: "none", or "logits" to detach the mixed logits.
    """

    accepts_mixed = True

    def __init__(
        self,
        feature_width: int,
        temperature: float = 3.0,
        mix: Mix = "probabilities",
        stop_gradient: StopGradient = "none",
    ):
        super().__init__(temperature, mix, stop_gradient)
        attention_width = max(1, feature_width // 8)
        self.query = nn.Linear(feature_width, attention_width, bias=False)
        self.key = nn.Linear(feature_width, attention_width, bias=False)

    def log_attention(self, features_ABD: Float[Tensor, "peers batch width"]) -> Float[Tensor, "batch peers peers"]:
        """Return log alpha. For each sample and row a, the weights over the peers sum to 1."""
        scores_BAA = torch.einsum("abd,cbd->bac", self.query(features_ABD), self.key(features_ABD))
        return scores_BAA.log_softmax(-1)

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the auxiliaries' divergences from their targets."""
        logits_ABC = out.logits[:-1]
        # The leader may have features of a different width.
        features_ABD = torch.stack([*out.features[:-1]])
        targets_ABC = self.log_targets(self.log_attention(features_ABD), logits_ABC)
        return kl_from(targets_ABC, softened(logits_ABC, self.temperature), self.temperature)


class GroupToLeader(_GroupTarget):
    """The leader learns from the mean of the auxiliary peers: ``KL_T(mean_a z_a -> z_M)``.

    The arguments are ``temperature``, ``mix`` and ``stop_gradient`` of :class:`AttentionTargets`.
    """

    accepts_mixed = True

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the leader's divergence from the mean of the auxiliaries."""
        logits_ABC = out.logits[:-1]
        log_equal_B1A = logits_ABC.new_full((logits_ABC.shape[1], 1, len(logits_ABC)), -math.log(len(logits_ABC)))
        target_BC = self.log_targets(log_equal_B1A, logits_ABC)[0]
        return kl_from(target_BC, softened(out.logits[-1], self.temperature), self.temperature)
