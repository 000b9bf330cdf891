"""Methods whose peers learn together, without a teacher: each a short composition of terms."""

from typing import TYPE_CHECKING, Literal

from peerdistill import terms
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError
from peerdistill.ranges import Epochs, Momentum, Temperature, Weight, Width

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms import Method


def baseline(cohort: "Cohort", train_labels: "Tensor") -> "Method":
    """Peers that learn from labels alone (eq. 1): nothing is distilled."""
    return terms.Method([terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy())])


def dml(cohort: "Cohort", train_labels: "Tensor", *, temperature: Temperature = 2.0, mutual: Weight = 1.0) -> "Method":
    """Deep mutual learning: every peer learns from every other one (Zhang et al., CVPR 2018).

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences: 2 as in released comparisons, 1 in the original.
        mutual: Weight of the divergences (0: left out).
    """
    _require_peers(cohort, 2, "dml")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("mutual", mutual, terms.MutualKL(temperature)),
        ]
    )


def cl_ilr(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 2.0,
    labels: Weight = 0.5,
    others: Weight = 0.5,
) -> "Method":
    """Collaborative learning: every peer learns from the mean of the others (Song and Chai, NeurIPS 2018).

    Its cohort is a tree whose shared stages take the mean of the gradients that flow down to them.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        labels: Weight of the peers' cross-entropies.
        others: Weight of the divergences from the mean of the others' logits.
    """
    _require_peers(cohort, 2, "cl-ilr")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", labels, terms.CrossEntropy()),
            terms.Weighted("others", others, terms.OthersToPeer(temperature)),
        ]
    )


def one(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 3.0,
    distillation: Weight = 1.0,
    ramp: Epochs = 0,
) -> "Method":
    """On-the-fly native ensemble: peers learn from their gated ensemble (Lan et al., NeurIPS 2018).

    Args:
        cohort: At least two peers on a shared stem.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        distillation: Weight of the peers' divergences from the ensemble.
        ramp: Epochs over which that weight rises (0: it does not; the original has 80).
    """
    _require_peers(cohort, 2, "one")
    if cohort.copies[0] != 1:
        raise UserError("one needs a stem that all peers share: choose sharing branch or tree")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble_labels", 1.0, terms.EnsembleCrossEntropy()),
            terms.Weighted("ensemble", terms.Ramp(distillation, ramp), terms.EnsembleToPeers(temperature)),
        ],
        ensemble=terms.GatedEnsemble(cohort.peers, cohort.stem_channels),
    )


def okddip(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 3.0,
    distillation: Weight = 1.0,
    ramp: Epochs = 80,
    mix: Literal["probabilities", "logits"] = "probabilities",
    stop_gradient: Literal["none", "logits"] = "none",
) -> "Method":
    """Online knowledge distillation with diverse peers: attention, then group to leader (Chen et al., AAAI 2020).

    Args:
        cohort: At least three peers.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        distillation: Weight of both levels of distillation after the ramp.
        ramp: Epochs over which that weight rises.
        mix: Targets mix softened probabilities (the paper) or logits (the released code).
        stop_gradient: Keep gradient from nothing (the released code), or from the logits that are mixed.
    """
    _require_peers(cohort, 3, "okddip")
    if len(set(cohort.widths[:-1])) > 1:
        raise UserError(
            f"okddip compares the features of its peers: they must be of one width, found {list(cohort.widths[:-1])}"
        )
    weight = terms.Ramp(distillation, ramp)
    attention = terms.AttentionTargets(cohort.widths[0], temperature, mix, stop_gradient)
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("attention", weight, attention),
            terms.Weighted("group", weight, terms.GroupToLeader(temperature, mix, stop_gradient)),
        ]
    )


def mcl_okd(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 3.0,
    ensemble: Weight = 1.0,
    beta: Weight = 0.025,
    contrast: ContrastOptions = ContrastOptions(),  # noqa: B008 (frozen)
) -> "Method":
    """Multi-view contrastive learning for online knowledge distillation (eq. 12).

    Args:
        cohort: At least two peers.
        train_labels: Label of every training sample (N,), in the order of the samples' indices.
        temperature: Temperature T that softens the leader and the ensemble.
        ensemble: Weight of the ensemble as the leader's teacher (0: left out).
        beta: Weight of the contrast (0: left out).
        contrast: The contrast's own options.
    """
    _require_peers(cohort, 2, "mcl-okd")
    pairs = terms.MultiViewContrast(cohort.widths, train_labels, contrast) if beta else None
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble", ensemble, terms.EnsembleToLeader(temperature)),
            *([terms.Weighted("contrast", beta, pairs)] if pairs else []),
        ]
    )


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
    _require_peers(cohort, 2, "kdcl")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("target", distillation, terms.CollaborativeTarget(temperature, target)),
        ]
    )


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
    _require_peers(cohort, 2, "pcl")
    followers = terms.MeanPeersToPeers(cohort, temperature, momentum) if means else None
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble_labels", 1.0 if ensemble else 0.0, terms.EnsembleCrossEntropy()),
            terms.Weighted("ensemble", terms.Ramp(ensemble, ramp), terms.EnsembleToPeers(temperature)),
            *([terms.Weighted("means", terms.Ramp(means, ramp), followers)] if followers else []),
        ],
        ensemble=terms.FeatureEnsemble(cohort.widths, cohort.classes) if ensemble else None,
    )


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
    """Mutual contrastive learning: contrast within the batch, for each peer and across (Yang et al., AAAI 2022).

    Positives are the samples of the same label in the batch. The paper draws two images of each class, so that every
    anchor has a positive; our batches are drawn evenly, and an anchor without one is left out of the two contrastive
    losses (not of the two divergences, which need none). The paper's memory banks for ImageNet and its training without
    labels are not here.

    Args:
        cohort: At least two peers.
        train_labels: Not used.
        vanilla: Weight of the contrast of each peer's own embeddings (0: left out; so are the next four).
        interactive: Weight of the contrast of one peer's anchors with another's embeddings.
        soft_vanilla: Weight of the divergences between the peers' own contrastive distributions.
        soft_interactive: Weight of the divergences between those across two peers, one way and the other.
        ensemble: Weight of the mean of logits as a teacher: of the leader, or of both peers where there are two (1 in
            the paper's combination with logit distillation).
        temperature: Temperature T of all divergences.
        tau: Temperature of the cosine similarities.
        width: Width of the embeddings.
        compared: Contrastive distributions are over the others of the batch (the paper), or over all, the sample itself
            too (the released code).
    """
    _require_peers(cohort, 2, "mcl")
    scores = terms.InBatchScores(cohort.widths, width, tau)
    learn_from_ensemble = terms.EnsembleToPeers if cohort.peers == 2 else terms.EnsembleToLeader
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("vanilla", vanilla, terms.VanillaContrast(scores)),
            terms.Weighted("interactive", interactive, terms.InteractiveContrast(scores)),
            terms.Weighted("soft_vanilla", soft_vanilla, terms.SoftVanillaContrast(scores, temperature, compared)),
            terms.Weighted(
                "soft_interactive", soft_interactive, terms.SoftInteractiveContrast(scores, temperature, compared)
            ),
            terms.Weighted("ensemble", ensemble, learn_from_ensemble(temperature)),
        ]
    )


def _require_peers(cohort: "Cohort", fewest: int, name: str) -> None:
    if cohort.peers < fewest:
        raise UserError(f"{name} needs at least {fewest} peers, found {cohort.peers}")
