"""Peers that learn from labels alone (eq. 1): nothing is distilled."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.methods.card import MethodCard

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def baseline(cohort: "Cohort", train_labels: "Tensor") -> "Method":
    """Peers that learn from labels alone (eq. 1): nothing is distilled."""
    return terms.Method([terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy())])


CARD = MethodCard(
    baseline,
    loss="sum_m CE(z_m)",
    paper="-",
    sharings=("branch", "network", "tree"),
    branches="our choice, as mcl-okd has it: no code of it in branches was released",
    uses_logits=False,
)
