"""Contrastive representation distillation (Tian et al., ICLR 2020)."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.contrast import TeacherContrastOptions
from peerdistill.methods.card import MethodCard
from peerdistill.methods.requirements import require_one_student
from peerdistill.ranges import Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms.method import Method
    from peerdistill.terms.teacher import Teacher


def crd(
    cohort: "Cohort",
    train_labels: "Tensor",
    teacher: "Teacher",
    *,
    beta: Weight = 0.8,
    distillation: Weight = 0.0,
    temperature: Temperature = 4.0,
    contrast: TeacherContrastOptions = TeacherContrastOptions(),  # noqa: B008 (frozen)
) -> "Method":
    """Contrastive representation distillation (Tian et al., ICLR 2020).

    Args:
        cohort: The student, one peer.
        train_labels: Label of each training sample (N,), by index.
        teacher: A trained network.
        beta: Weight of the contrast.
        distillation: Weight of the divergence from the teacher's class distribution; 1 in "CRD+KD".
        temperature: Temperature T of that divergence.
        contrast: Options of the contrast. A queue requires the softmax objective.
    """
    require_one_student(cohort, "crd")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted(
                "contrast", beta, lambda: terms.TeacherContrast(teacher.width, cohort.width, train_labels, contrast)
            ),
            terms.Weighted("teacher", distillation, lambda: terms.TeacherToLeader(temperature)),
        ],
        teacher=teacher,
    )


CARD = MethodCard(
    crd,
    loss="CE(z) + 0.8 (NCE student -> teacher bank + NCE teacher -> student bank)",
    choose="there is a trained teacher, and the student is to learn its features rather than its class probabilities",
    paper="Tian et al., ICLR 2020",
    sharings=("network",),
    trains="two embedding heads (and memory banks)",
    cohort={"peers": 1},
    uses_logits=False,
)
