"""Knowledge distillation: a student learns from labels and a teacher (Hinton et al., 2015)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_one_student
from peerdistill.ranges import Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method
    from peerdistill.terms.teacher import Teacher


def kd(
    cohort: "Cohort",
    train_labels: "Tensor",
    teacher: "Teacher",
    *,
    temperature: Temperature = 4.0,
    cross_entropy: Weight = 0.1,
    distillation: Weight = 0.9,
) -> "Method":
    """Knowledge distillation: a student learns from labels and a teacher (Hinton et al., 2015).

    Args:
        cohort: The student, one peer.
        train_labels: Not used.
        teacher: A trained network.
        temperature: Temperature T of the divergence.
        cross_entropy: Weight of the cross-entropy with the labels.
        distillation: Weight of the divergence from the teacher's class distribution.
    """
    require_one_student(cohort, "kd")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", cross_entropy, terms.CrossEntropy),
            terms.Weighted("teacher", distillation, lambda: terms.TeacherToLeader(temperature)),
        ],
        teacher=teacher,
    )


CARD = MethodCard(
    kd,
    loss="0.1 CE(z) + 0.9 KL_T(teacher -> z)",
    choose="there is a trained teacher for the same classes. It is the simplest of the methods with a teacher",
    paper="Hinton et al., 2015",
    sharings=("network",),
    cohort={"peers": 1},
)
