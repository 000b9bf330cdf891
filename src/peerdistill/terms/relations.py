"""Relational knowledge distillation of distances and angles between samples (RKD; Park et al., CVPR 2019).

Axes: B batch, J samples of the batch as vertices of angles, D and K feature widths of student and teacher.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.cohort import CohortOutput
from peerdistill.numerics import upcast, with_custom_gradient, without_autocast
from peerdistill.terms.batch import Batch

# Cosines per block: on a CPU few enough to stay in the cache of a core, elsewhere enough to keep the device busy.
_CPU_BLOCK, _ACCELERATOR_BLOCK = 2**18, 2**26


def relative_distances(features_BD: Float[Tensor, "batch width"]) -> Float[Tensor, "batch batch"]:
    """Return the Euclidean distances between samples, divided by the mean of the non-zero distances.

    The distance of two samples with the same features is 0 and has no gradient.
    """
    difference_BBD = features_BD[:, None] - features_BD[None, :]
    squared_BB = difference_BBD.square().sum(-1)
    apart_BB = squared_BB > 0
    distance_BB = torch.where(apart_BB, squared_BB, 1.0).sqrt() * apart_BB
    mean = distance_BB.sum() / apart_BB.sum().clamp(min=1)
    return distance_BB / torch.where(mean > 0, mean, 1.0)


def distance_loss(
    features_BD: Float[Tensor, "batch width"], teacher_BK: Float[Tensor, "batch teacher_width"]
) -> Float[Tensor, ""]:
    """Return the mean Huber loss between the relative distances of all pairs (RKD-D).

    Args:
        features_BD: Features of the student.
        teacher_BK: Features of the teacher, without gradient.
    """
    return F.smooth_l1_loss(relative_distances(features_BD), relative_distances(teacher_BK))


def angle_loss(
    features_BD: Float[Tensor, "batch width"], teacher_BK: Float[Tensor, "batch teacher_width"]
) -> Float[Tensor, ""]:
    """Return the mean Huber loss between the cosines of the angles in all triplets (RKD-A).

    A triplet is a vertex j and two samples i and k. The triplets are processed in blocks of vertices, so neither the
    B x B x B cosines nor the B x B difference vectors are stored. If the vertex has the same
    features as i or k, the cosine is 0 and has no gradient.

    Args:
        features_BD: Features of the student.
        teacher_BK: Features of the teacher, without gradient.
    """
    return with_custom_gradient(partial(_huber_of_angles, teacher_BK=teacher_BK), features_BD)


def _huber_of_angles(features_BD: Tensor, teacher_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean Huber loss between the cosines of all triplets, and its gradient (B, D)."""
    batch = len(features_BD)
    gradient_BD = torch.zeros_like(features_BD)
    loss = features_BD.new_zeros(())
    vertices = max(1, (_CPU_BLOCK if features_BD.device.type == "cpu" else _ACCELERATOR_BLOCK) // batch**2)
    for start in range(0, batch, vertices):
        block = slice(start, start + vertices)
        unit_JBD, per_length_JB1 = _directions(features_BD, block)
        teacher_JBK, _ = _directions(teacher_BK, block)
        difference_JBB = (unit_JBD @ unit_JBD.mT).baddbmm_(teacher_JBK, teacher_JBK.mT, alpha=-1)
        slope_JBB = difference_JBB.clamp(-1, 1)
        # Half the gradient with respect to unit vectors: every cosine occurs twice, as (i, k) and as (k, i).
        half_JBD = slope_JBB @ unit_JBD
        # Half the gradient with respect to difference vectors: the component orthogonal to the unit vector.
        half_JBD.sub_(unit_JBD * (unit_JBD * half_JBD).sum(-1, keepdim=True)).mul_(per_length_JB1)
        gradient_BD += half_JBD.sum(0)
        gradient_BD[block] -= half_JBD.sum(1)
        # The Huber loss of x with slope s is s (x - s / 2), in both its quadratic and its linear part.
        loss += torch.dot(slope_JBB.flatten(), difference_JBB.sub_(slope_JBB, alpha=0.5).flatten())
    return loss / batch**3, gradient_BD.mul_(2 / batch**3)


def _directions(features_BD: Tensor, vertices: slice) -> tuple[Tensor, Tensor]:
    """Return unit vectors from the vertices j to all samples i (J, B, D), and 1 / distance (J, B, 1); 0 if it is 0."""
    difference_JBD = features_BD - features_BD[vertices, None]
    squared_JB1 = difference_JBD.square().sum(-1, keepdim=True)
    apart_JB1 = squared_JB1 > 0
    per_length_JB1 = torch.where(apart_JB1, squared_JB1, 1.0).rsqrt_() * apart_JB1
    return difference_JBD.mul_(per_length_JB1), per_length_JB1


class TeacherRelation(nn.Module):
    """A loss between the relations of samples in the leader's features and those in the teacher's.

    Mixed images are left out.

    Args:
        loss: :func:`distance_loss` over pairs, or :func:`angle_loss` over triplets.
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]):
        super().__init__()
        self.loss = loss

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the loss between leader and teacher."""
        assert out.teacher is not None
        features, teacher = out.features[-1], out.teacher.features[-1].detach()
        with without_autocast(features):
            return self.loss(upcast(features), upcast(teacher))
