"""CRD combined with knowledge distillation from the same teacher (Tian et al., ICLR 2020)."""

from functools import partial

from peerdistill.methods.card import MethodCard
from peerdistill.methods.crd import crd

crd_kd = partial(crd, distillation=1.0)

CARD = MethodCard(
    crd_kd,
    name="crd+kd",
    loss="the loss of crd + KL_T(teacher -> z)",
    choose="there is a trained teacher for the same classes, and the student is to learn both its features and its "
    "class probabilities",
    paper="Tian et al., ICLR 2020",
    sharings=("network",),
    trains="two embedding heads (and memory banks)",
    cohort={"peers": 1},
)
