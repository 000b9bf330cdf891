"""On-the-fly native ensemble: each peer learns from the gated ensemble (Lan et al., NeurIPS 2018)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.errors import UserError
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_peers
from peerdistill.ranges import Epochs, Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method


def one(
    cohort: "Cohort",
    train_labels: "Tensor",
    *,
    temperature: Temperature = 3.0,
    distillation: Weight = 1.0,
    ramp: Epochs = 0,
) -> "Method":
    """On-the-fly native ensemble: each peer learns from the gated ensemble (Lan et al., NeurIPS 2018).

    Args:
        cohort: At least two peers with a shared stem.
        train_labels: Not used.
        temperature: Temperature T of the divergences.
        distillation: Weight of the divergences from the ensemble.
        ramp: Number of epochs over which that weight ramps up; 80 in the released code, 0 for a constant weight.
    """
    require_peers(cohort, 2, "one")
    if cohort.copies[0] != 1:
        raise UserError("one needs a stem that all peers share: choose sharing branch or tree")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("ensemble_labels", 1.0, terms.EnsembleCrossEntropy()),
            terms.Weighted("ensemble", terms.Ramp(distillation, ramp), lambda: terms.EnsembleToPeers(temperature)),
        ],
        ensemble=terms.GatedEnsemble(cohort.peers, cohort.stem_channels),
    )


CARD = MethodCard(
    one,
    loss="sum_m CE(z_m) + CE(z_e) + sum_m KL_T(z_e -> z_m)",
    choose="the ensemble is needed as well as the leader: its gate weights the peers for every image",
    paper="Lan et al., NeurIPS 2018",
    sharings=("branch", "tree"),
    trains="a gate on the shared stem",
    ensemble="gated: z_e = sum_m g_m z_m",
    cohort={"branch_at": "late"},
    branches="Lan1991Xu/ONE_NeurIPS2018, models/cifar/resnet.py, and winycg/MCL-OKD, models/one_*.py",
)
