"""Mutual contrastive learning: contrast within a batch, within and between peers (Yang et al., AAAI 2022)."""

from functools import cache
from typing import TYPE_CHECKING, Literal

from peerdistill import terms
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_peers
from peerdistill.ranges import Temperature, Weight, Width

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def mcl(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    vanilla: Weight = 0.1,
    interactive: Weight = 0.1,
    soft_vanilla: Weight = 1.0,
    soft_interactive: Weight = 1.0,
    ensemble: Weight = 0.0,
    temperature: Temperature = 3.0,
    tau: Temperature = 0.07,
    width: Width = 128,
    compared: Literal["others", "all"] = "others",
) -> "Method":
    """Mutual contrastive learning: contrast within a batch, within and between peers (Yang et al., AAAI 2022).

    Positives are the samples of the same label in the batch. The paper draws two images of each class, so that each
    anchor has a positive. Our batches are drawn uniformly: the two contrastive losses ignore anchors without a
    positive, and the two divergences need none. The paper's memory banks for ImageNet and its training without labels
    are not implemented.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        vanilla: Weight of the contrast within each peer (VCL).
        interactive: Weight of the contrast between one peer's anchors and another peer's embeddings (ICL).
        soft_vanilla: Weight of the divergences between the contrastive distributions of different peers.
        soft_interactive: Weight of the divergences between the contrastive distributions of a pair of peers and the
            reverse pair.
        ensemble: Weight of distillation from the mean of logits to the leader, or to both peers if there are two (1 in
            the paper's combination with logit distillation).
        temperature: Temperature T of all divergences.
        tau: Temperature of the cosine similarities.
        width: Width of the embeddings.
        compared: Samples in a contrastive distribution: the others of the batch (the paper), or all samples including
            the anchor (the released code).
    """
    require_peers(cohort, 2, "mcl")
    scores = cache(lambda: terms.InBatchScores(cohort.widths, width, tau))  # built at most once
    learn_from_ensemble = terms.EnsembleToPeers if cohort.peers == 2 else terms.EnsembleToLeader
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("vanilla", vanilla, lambda: terms.VanillaContrast(scores())),
            terms.Weighted("interactive", interactive, lambda: terms.InteractiveContrast(scores())),
            terms.Weighted(
                "soft_vanilla", soft_vanilla, lambda: terms.SoftVanillaContrast(scores(), temperature, compared)
            ),
            terms.Weighted(
                "soft_interactive",
                soft_interactive,
                lambda: terms.SoftInteractiveContrast(scores(), temperature, compared),
            ),
            terms.Weighted("ensemble", ensemble, lambda: learn_from_ensemble(temperature)),
        ]
    )


CARD = MethodCard(
    mcl,
    loss="sum_m CE(z_m) + 0.1 sum_m VCL_m + sum_{a != b} [0.1 ICL_ab + KL_T(p_b -> p_a) + KL_T(q_ba -> q_ab)]",
    choose="memory banks are unwanted and a batch has several images of each class, because its positives come from "
    "the batch",
    paper="Yang et al., AAAI 2022",
    sharings=("network", "branch", "tree"),
    trains="one embedding head per peer",
    branches="winycg/MCL, models/*.py, where two peers are separate networks and more peers are branches",
    differs="batches are not drawn by class: VCL and ICL ignore anchors without a positive in their batch",
)
