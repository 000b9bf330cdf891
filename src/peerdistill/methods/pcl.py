"""Peer collaborative learning: a classifier on all features, and running means, teach (Wu and Gong, AAAI 2021)."""

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
    """Peer collaborative learning: a classifier on all features, and running means, teach (Wu and Gong, AAAI 2021).

    The ensemble's classifier and the peers learn from its cross-entropy; every peer learns from the ensemble and from
    the running means of the other peers. In a loop of your own, ``method.after_step(cohort)`` after each step of the
    optimiser moves the means on.

    The paper gives each peer an augmentation of its own, where our batches hold one, and deploys a running mean, where
    we deploy the leader itself, as for every method.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        ensemble: Weight of the ensemble as the peers' teacher (0: there is none, and no classifier on all features).
        means: Weight of the running means of the others as a peer's teachers (0: left out).
        ramp: Epochs over which both weights rise.
        momentum: Largest share of itself that a running mean keeps at a step.
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
    loss="sum_m CE(z_m) + CE(z_e) + w(t) sum_m [KL_T(z_e -> z_m) + 1/(M-1) sum_{j != m} KL_T(mean peer j -> z_m)]",
    paper="Wu and Gong, AAAI 2021",
    sharings=("branch", "tree", "network"),
    trains="a classifier on all features; running means follow the peers",
    ensemble="that of all features: z_e = W [v_1, ..., v_M] + b",
    cohort={"branch_at": "late"},
    branches="shaoeric/Peer-Collaborative-Learning-for-Online-Knowledge-Distillation, src/models/*.py, "
    "a reproduction by others; no code of its authors is known to us",
    differs="one augmentation for all peers, not one for each; the leader is deployed, not a peer's running mean",
)
