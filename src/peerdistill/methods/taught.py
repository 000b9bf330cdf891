"""Methods in which one student learns from a teacher that was trained before."""

from typing import TYPE_CHECKING

from peerdistill import terms
from peerdistill.contrast import TeacherContrastOptions
from peerdistill.errors import UserError
from peerdistill.ranges import Temperature, Weight

if TYPE_CHECKING:
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.terms import Method, Teacher


def kd(
    cohort: "Cohort",
    train_labels: "Tensor",
    teacher: "Teacher",
    *,
    temperature: Temperature = 4.0,
    labels: Weight = 0.1,
    distillation: Weight = 0.9,
) -> "Method":
    """Knowledge distillation: one student learns from labels and from a teacher (Hinton et al., 2015).

    Args:
        cohort: The student, one peer.
        train_labels: Not used.
        teacher: A network that was trained before.
        temperature: Temperature T of the divergence.
        labels: Weight of the cross-entropy.
        distillation: Weight of the divergence from the teacher.
    """
    _require_one_student(cohort, "kd")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", labels, terms.CrossEntropy()),
            terms.Weighted("teacher", distillation, terms.TeacherToLeader(temperature)),
        ],
        teacher=teacher,
    )


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
    """Contrastive representation distillation (Tian et al., ICLR 2020); "CRD+KD" with distillation 1.

    Args:
        cohort: The student, one peer.
        train_labels: Label of every training sample (N,), in the order of the samples' indices.
        teacher: A network that was trained before.
        beta: Weight of the contrast.
        distillation: Weight of the divergence from the teacher's class distribution (0: left out).
        temperature: Temperature T of that divergence.
        contrast: The contrast's own options; a queue needs the softmax.
    """
    _require_one_student(cohort, "crd")
    pairs = terms.TeacherContrast(teacher.width, cohort.width, train_labels, contrast)
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("contrast", beta, pairs),
            terms.Weighted("teacher", distillation, terms.TeacherToLeader(temperature)),
        ],
        teacher=teacher,
    )


def rkd_d(cohort: "Cohort", train_labels: "Tensor", teacher: "Teacher", *, distance: Weight = 25.0) -> "Method":
    """Relational knowledge distillation: a batch lies as its teacher has it, by distances (Park et al., CVPR 2019).

    Args:
        cohort: The student, one peer.
        train_labels: Not used.
        teacher: A network that was trained before.
        distance: Weight of the distances between samples.
    """
    _require_one_student(cohort, "rkd-d")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("distance", distance, terms.TeacherRelation(terms.distance_loss)),
        ],
        teacher=teacher,
    )


def rkd_da(
    cohort: "Cohort",
    train_labels: "Tensor",
    teacher: "Teacher",
    *,
    distance: Weight = 25.0,
    angle: Weight = 50.0,
) -> "Method":
    """Relational knowledge distillation by distances and by angles (Park et al., CVPR 2019).

    Args:
        cohort: The student, one peer.
        train_labels: Not used.
        teacher: A network that was trained before.
        distance: Weight of the distances between samples.
        angle: Weight of the angles between three samples.
    """
    _require_one_student(cohort, "rkd-da")
    return terms.Method(
        [
            terms.Weighted("cross_entropy", 1.0, terms.CrossEntropy()),
            terms.Weighted("distance", distance, terms.TeacherRelation(terms.distance_loss)),
            terms.Weighted("angle", angle, terms.TeacherRelation(terms.angle_loss)),
        ],
        teacher=teacher,
    )


def _require_one_student(cohort: "Cohort", name: str) -> None:
    if cohort.peers != 1:
        raise UserError(f"{name} trains one student, found {cohort.peers} peers")
