"""Multi-view contrastive learning for online knowledge distillation (eq. 12)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.contrast import ContrastOptions
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_peers
from peerdistill.ranges import Epochs, Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def mcl_okd(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 3.0,
    ensemble: Weight = 1.0,
    ramp: Epochs = 0,
    beta: Weight = 0.025,
    contrast: ContrastOptions = ContrastOptions(),  # noqa: B008 (frozen)
) -> "Method":
    """Multi-view contrastive learning for online knowledge distillation (eq. 12).

    Args:
        cohort: At least two peers.
        train_labels: Label of each training sample (N,), by index.
        temperature: Temperature T of the divergence.
        ensemble: Weight of the leader's divergence from the ensemble: 1 in the paper. More brings the leader closer to
            the ensemble.
        ramp: Number of epochs over which that weight ramps up; 0 for a constant weight, as in the paper. A large weight
            needs a ramp: the ensemble of the first epochs is a bad teacher.
        beta: Weight of the contrast.
        contrast: Options of the contrast.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort, methods
        >>> from peerdistill.contrast import ContrastOptions
        >>> cohort = Cohort("resnet20", classes=10, peers=2)
        >>> train_labels = torch.arange(500) % 10
        >>> method = methods.mcl_okd(cohort, train_labels, contrast=ContrastOptions(count=32))
        >>> indices = torch.tensor([3, 14, 159, 265])
        >>> loss = method(cohort(torch.rand(4, 3, 32, 32)), train_labels[indices], indices)
        >>> list(loss.parts)
        ['cross_entropy', 'ensemble', 'contrast']
    """
    require_peers(cohort, 2, "mcl-okd")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble", terms.Ramp(ensemble, ramp), lambda: terms.EnsembleToLeader(temperature)),
            terms.Weighted("contrast", beta, lambda: terms.MultiViewContrast(cohort.widths, train_labels, contrast)),
        ]
    )


CARD = MethodCard(
    mcl_okd,
    loss="sum_m CE(z_m) + KL_T(mean_m z_m -> z_M) + beta L_contrast",
    choose="you are not sure: it is the default. Its memory banks hold one row per training image and peer, so every "
    "sample needs a fixed index",
    paper="Yang et al., ICASSP 2021",
    sharings=("branch", "network", "tree"),
    trains="one embedding head per peer (and memory banks)",
    branches="winycg/MCL-OKD, models/mcl_okd_*.py",
)
