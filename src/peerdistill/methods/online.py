"""Methods whose peers learn together, without a teacher: each a short composition of terms."""

from typing import TYPE_CHECKING, Literal

from peerdistill import terms
from peerdistill.contrast import ContrastOptions
from peerdistill.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms import Method


def baseline(cohort: "Cohort", train_labels: "Tensor") -> "Method":
    """Peers that learn from labels alone (eq. 1): nothing is distilled."""
    return terms.Method([terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy())])


def dml(cohort: "Cohort", train_labels: "Tensor", *, temperature: float = 2.0, mutual: float = 1.0) -> "Method":
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
    temperature: float = 2.0,
    labels: float = 0.5,
    others: float = 0.5,
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
    temperature: float = 3.0,
    distillation: float = 1.0,
    ramp: int = 0,
) -> "Method":
    """On-the-fly native ensemble: peers learn from their gated ensemble (Zhu et al., NeurIPS 2018).

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
    temperature: float = 3.0,
    distillation: float = 1.0,
    ramp: int = 80,
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
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("attention", weight, terms.AttentionTargets(cohort.width, temperature, mix, stop_gradient)),
            terms.Weighted("group", weight, terms.GroupToLeader(temperature, mix, stop_gradient)),
        ]
    )


def mcl_okd(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: float = 3.0,
    ensemble: float = 1.0,
    beta: float = 0.025,
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
    pairs = terms.MultiViewContrast(cohort.peers, cohort.width, train_labels, contrast) if beta else None
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble", ensemble, terms.EnsembleToLeader(temperature)),
            *([terms.Weighted("contrast", beta, pairs)] if pairs else []),
        ]
    )


def _require_peers(cohort: "Cohort", fewest: int, name: str) -> None:
    if cohort.peers < fewest:
        raise UserError(f"{name} needs at least {fewest} peers, found {cohort.peers}")
