"""Collaborative learning: peers learn from a target formed with a look at the label (Guo et al., CVPR 2020)."""

from typing import TYPE_CHECKING, Literal

from peerdistill import terms
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_peers
from peerdistill.ranges import Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def kdcl(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 2.0,
    distillation: Weight = 1.0,
    target: Literal["naive", "linear", "min-logit"] = "min-logit",
) -> "Method":
    """Collaborative learning: peers learn from a target formed with a look at the label (Guo et al., CVPR 2020).

    Three of the paper's four targets are here. The fourth ("general") weighs peers by their errors on validation
    images, which a method does not see: here they choose the best epoch and nothing else. The paper also gives each
    peer an augmentation of its own, where our batches hold one.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        distillation: Weight of the peers' divergences from the target (0: left out).
        target: The peer that fits the label best (naive), the convex combination of peers that does (linear), or the
            least margin of each class to the label's score (min-logit).
    """
    require_peers(cohort, 2, "kdcl")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("target", distillation, lambda: terms.CollaborativeTarget(temperature, target)),
        ]
    )


CARD = MethodCard(
    kdcl,
    loss="sum_m CE(z_m) + sum_m KL_T(t -> z_m), t_c = min_m (z_mc - z_my)",
    paper="Guo et al., CVPR 2020",
    sharings=("network", "branch", "tree"),
    branches="our choice: its paper trains whole networks, and no code of its authors is known to us",
    differs="one augmentation for all peers, not one for each; no target weighed by errors on validation images, "
    "which choose the best epoch and nothing else",
)
