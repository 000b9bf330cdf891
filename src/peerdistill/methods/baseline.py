"""Peers that learn only from labels, without distillation (eq. 1)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.methods.card import MethodCard

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def baseline(cohort: "Cohort", train_labels: "Tensor") -> "Method":
    """Peers that learn only from labels, without distillation (eq. 1)."""
    return terms.Method([terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy())])


CARD = MethodCard(
    baseline,
    loss="sum_m CE(z_m)",
    choose="you want to know what the exchange between peers gives: they learn from the labels alone. With --peers 1 "
    "it is an ordinary network",
    paper="-",
    sharings=("branch", "network", "tree"),
    branches="our choice, the same as mcl-okd: no code with branches was released",
    uses_logits=False,
)
