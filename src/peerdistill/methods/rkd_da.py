"""Relational knowledge distillation of distances and angles between samples (Park et al., CVPR 2019)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_one_student
from peerdistill.ranges import Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method
    from peerdistill.terms.teacher import Teacher


def rkd_da(
    cohort: "Cohort",
    train_labels: "Tensor",
    teacher: "Teacher",
    *,
    distance: Weight = 25.0,
    angle: Weight = 50.0,
) -> "Method":
    """Relational knowledge distillation of distances and angles between samples (Park et al., CVPR 2019).

    Args:
        cohort: The student, one peer.
        train_labels: Not used.
        teacher: A trained network.
        distance: Weight of the loss between distances of pairs of samples.
        angle: Weight of the loss between angles of triplets of samples.
    """
    require_one_student(cohort, "rkd-da")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("distance", distance, lambda: terms.TeacherRelation(terms.distance_loss)),
            terms.Weighted("angle", angle, lambda: terms.TeacherRelation(terms.angle_loss)),
        ],
        teacher=teacher,
    )


CARD = MethodCard(
    rkd_da,
    loss="CE(z) + 25 Huber(distances of student, teacher) + 50 Huber(angles of student, teacher)",
    choose="there is a trained teacher, as for rkd-d. Angles describe the arrangement of samples more closely; their "
    "time grows with the cube of the batch size",
    paper="Park et al., CVPR 2019",
    sharings=("network",),
    cohort={"peers": 1},
    uses_logits=False,
)
