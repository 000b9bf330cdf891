"""Collaborative learning: peers learn from a target computed from all peers and the label (Guo et al., CVPR 2020)."""

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
    """Collaborative learning: peers learn from a target computed from all peers and the label (Guo et al., CVPR 2020).

    Three of the paper's four targets are implemented. The fourth ("general") weights peers by their errors on
    validation images, which a method can't access. In the paper each peer gets a different augmentation of an image;
    here all peers get the same.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        distillation: Weight of the divergences from the target.
        target: Target of each sample: the peer with the lowest cross-entropy (naive), the convex combination of peers
            with the lowest cross-entropy (linear), or the lowest margin to the label's score per class (min-logit).
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
    choose="peers differ much in accuracy, for example with different networks: for each class, the target takes the "
    "best of them",
    paper="Guo et al., CVPR 2020",
    sharings=("network", "branch", "tree"),
    branches="our choice: the peers of the paper are separate networks, and we know of no code by the authors",
    differs="all peers get the same augmentation of an image; no target weighted by errors on validation images",
)
