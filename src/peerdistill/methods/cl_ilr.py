"""Collaborative learning: each peer learns from the mean of the other peers (Song and Chai, NeurIPS 2018)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_peers
from peerdistill.ranges import Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def cl_ilr(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 2.0,
    cross_entropy: Weight = 0.5,
    others: Weight = 0.5,
) -> "Method":
    """Collaborative learning: each peer learns from the mean of the other peers (Song and Chai, NeurIPS 2018).

    The peers form a tree. The gradients that reach a shared stage are averaged, not summed.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        cross_entropy: Weight of the cross-entropies with the labels.
        others: Weight of the divergences from the mean logits of the other peers.
    """
    require_peers(cohort, 2, "cl-ilr")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", cross_entropy, terms.CrossEntropy),
            terms.Weighted("others", others, lambda: terms.OthersToPeer(temperature)),
        ]
    )


CARD = MethodCard(
    cl_ilr,
    loss="sum_m [0.5 CE(z_m) + 0.5 KL_T(mean_{j != m} z_j -> z_m)]",
    choose="a training step must be cheap: the tree shares more stages than branches do",
    paper="Song and Chai, NeurIPS 2018",
    sharings=("tree", "branch"),
    cohort={"split_gradients": "mean"},
    branches="winycg/MCL-OKD, models/cl_ilr_*.py, with this tree of 4 peers; we know of no code by the authors",
)
