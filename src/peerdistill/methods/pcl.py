"""Peer collaborative learning: peers learn from a feature ensemble and EMAs of the peers (Wu and Gong, AAAI 2021)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_peers
from peerdistill.ranges import Epochs, Momentum, Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def pcl(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 3.0,
    ensemble: Weight = 1.0,
    means: Weight = 1.0,
    ramp: Epochs = 80,
    momentum: Momentum = 0.999,
) -> "Method":
    """Peer collaborative learning: peers learn from a feature ensemble and EMAs of the peers (Wu and Gong, AAAI 2021).

    The cross-entropy of the ensemble trains its classifier and the peers. Each peer learns from the ensemble and from
    the exponential moving averages (EMA) of the other peers. In your own training loop, call
    ``method.after_step(cohort)`` after each optimiser step to update the averages.

    In the paper each peer gets a different augmentation of an image and the EMA of a peer is deployed. Here all peers
    get the same augmentation and the leader itself is deployed, as for every method.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        ensemble: Weight of the divergences from the ensemble; 0 removes its classifier and its cross-entropy, too.
        means: Weight of the divergences from the EMAs of the other peers.
        ramp: Number of epochs over which both weights ramp up.
        momentum: Momentum of the EMA. In the first steps it is lower.
    """
    require_peers(cohort, 2, "pcl")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble_labels", 1.0 if ensemble else 0.0, terms.EnsembleCrossEntropy),
            terms.Weighted("ensemble", terms.Ramp(ensemble, ramp), lambda: terms.EnsembleToPeers(temperature)),
            terms.Weighted(
                "means", terms.Ramp(means, ramp), lambda: terms.EMAPeersToPeers(cohort, temperature, momentum)
            ),
        ],
        ensemble=terms.FeatureEnsemble(cohort.widths, cohort.classes) if ensemble else None,
    )


CARD = MethodCard(
    pcl,
    loss="sum_m CE(z_m) + CE(z_e) + w(t) sum_m [KL_T(z_e -> z_m) + 1/(M-1) sum_{j != m} KL_T(ema_j -> z_m)]",
    choose="the ensemble is needed as well as the leader, and there is memory for a copy of all peers: its classifier "
    "sees the features of all peers",
    paper="Wu and Gong, AAAI 2021",
    sharings=("branch", "tree", "network"),
    trains="a classifier on the features of all peers (EMAs of the peers are kept)",
    ensemble="classifier on the features of all peers: z_e = W [v_1, ..., v_M] + b",
    cohort={"branch_at": "late"},
    branches="shaoeric/Peer-Collaborative-Learning-for-Online-Knowledge-Distillation, src/models/*.py, "
    "a reproduction by others; we know of no code by the authors",
    differs="all peers get the same augmentation of an image; the leader is deployed, not an EMA",
)
