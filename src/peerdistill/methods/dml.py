"""Deep mutual learning: each peer learns from each other peer (Zhang et al., CVPR 2018)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_peers
from peerdistill.ranges import Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def dml(cohort: "Cohort", train_labels: "Tensor", *, temperature: Temperature = 2.0, mutual: Weight = 1.0) -> "Method":
    """Deep mutual learning: each peer learns from each other peer (Zhang et al., CVPR 2018).

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences; 2 in published comparisons, 1 in the paper.
        mutual: Weight of the divergences.
    """
    require_peers(cohort, 2, "dml")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("mutual", mutual, lambda: terms.MutualKL(temperature)),
        ]
    )


CARD = MethodCard(
    dml,
    loss="sum_m CE(z_m) + sum_m 1/(M-1) sum_{j != m} KL_T(z_j -> z_m)",
    choose="you want a simple method without layers of its own, or peers with different networks: it compares class "
    "probabilities only",
    paper="Zhang et al., CVPR 2018",
    sharings=("network", "branch", "tree"),
    branches="winycg/MCL-OKD, models/dml_*.py; the peers of the paper are separate networks",
)
