"""Distillation with diverse peers: attention among peers, then group to leader (Chen et al., AAAI 2020)."""

from typing import TYPE_CHECKING, Literal

from peerdistill import terms
from peerdistill.errors import UserError
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_peers
from peerdistill.ranges import Epochs, Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def okddip(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 3.0,
    distillation: Weight = 1.0,
    ramp: Epochs = 80,
    mixture: Literal["probabilities", "logits"] = "probabilities",
    stop_gradient: Literal["none", "logits"] = "none",
) -> "Method":
    """Distillation with diverse peers: attention among peers, then group to leader (Chen et al., AAAI 2020).

    Args:
        cohort: At least three peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        distillation: Weight of both levels of distillation after the ramp.
        ramp: Number of epochs over which that weight ramps up.
        mixture: Whether targets are mixtures of softened probabilities (the paper) or of logits (the released code).
        stop_gradient: Where gradient through the targets stops: nowhere (none, the released code) or at the mixed
            logits (logits).
    """
    require_peers(cohort, 3, "okddip")
    if len(set(cohort.widths[:-1])) > 1:
        raise UserError(
            f"okddip compares the features of its auxiliary peers: they must have the same width, "
            f"found {list(cohort.widths[:-1])}"
        )
    weight = terms.Ramp(distillation, ramp)
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted(
                "attention",
                weight,
                lambda: terms.AttentionTargets(cohort.widths[0], temperature, mixture, stop_gradient),
            ),
            terms.Weighted("group", weight, lambda: terms.GroupToLeader(temperature, mixture, stop_gradient)),
        ]
    )


CARD = MethodCard(
    okddip,
    loss="sum_m CE(z_m) + w(t) [sum_{a<M} KL_T(t_a -> z_a) + KL_T(mean_{a<M} z_a -> z_M)]",
    choose="there are at least three peers and they should stay different: each of them learns from its own mixture "
    "of the others",
    paper="Chen et al., AAAI 2020",
    sharings=("branch", "network", "tree"),
    trains="the query and key projections of the attention",
    cohort={"branch_at": "late"},
    branches="DefangChen/OKDDip, models/model_cifar/*_GL.py, and winycg/MCL-OKD, models/okddip_*.py",
)
