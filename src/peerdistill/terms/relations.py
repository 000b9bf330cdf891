"""Learning how a teacher arranges a batch: distances and angles between samples (RKD; Park et al., CVPR 2019).

Axes: B batch, J some of its samples as vertices of angles, D and K feature widths of student and teacher.
"""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.cohort import CohortOutput
from peerdistill.numerics import upcast, with_custom_gradient
from peerdistill.terms.batch import Batch

# Cosines of one tile: on a CPU few enough to stay in a core's cache, elsewhere enough to keep the device at work.
_TILE, _LARGE_TILE = 2**18, 2**26


def relative_distances(features_BD: Float[Tensor, "batch width"]) -> Float[Tensor, "batch batch"]:
    """Return Euclidean distances between samples, divided by the mean of those that are not 0.

    Where two samples coincide the distance is 0 and has no gradient.
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
        teacher_BK: Those of the teacher, without a gradient.
    """
    return F.smooth_l1_loss(relative_distances(features_BD), relative_distances(teacher_BK))


def angle_loss(
    features_BD: Float[Tensor, "batch width"], teacher_BK: Float[Tensor, "batch teacher_width"]
) -> Float[Tensor, ""]:
    """Return the mean Huber loss between the cosines of the angles in all triplets (RKD-A).

    The cosine at sample j between those to i and to k is compared for all of them, tile by tile: neither the B x B x B
    cosines nor the B x B vectors are there at once, or kept for the gradient. Where two samples coincide it is 0, and
    has no gradient.

    Args:
        features_BD: Features of the student.
        teacher_BK: Those of the teacher, without a gradient.
    """
    return with_custom_gradient(partial(_huber_of_angles, teacher_BK=teacher_BK), features_BD)


def _huber_of_angles(features_BD: Tensor, teacher_BK: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean Huber loss between the cosines of all triplets, and its gradient to the student's features."""
    batch = len(features_BD)
    gradient_BD = torch.zeros_like(features_BD)
    loss = features_BD.new_zeros(())
    vertices = max(1, (_TILE if features_BD.device.type == "cpu" else _LARGE_TILE) // batch**2)
    for start in range(0, batch, vertices):
        tile = slice(start, start + vertices)
        unit_JBD, per_length_JB1 = _directions(features_BD, tile)
        teacher_JBK, _ = _directions(teacher_BK, tile)
        apart_JBB = (unit_JBD @ unit_JBD.mT).baddbmm_(teacher_JBK, teacher_JBK.mT, alpha=-1)
        slope_JBB = apart_JBB.clamp(-1, 1)
        # To the unit vectors. Halved, because every cosine is there twice, as (i, k) and as (k, i).
        half_JBD = slope_JBB @ unit_JBD
        # To the differences they were made from: what turns them, not what lengthens them.
        half_JBD.sub_(unit_JBD * (unit_JBD * half_JBD).sum(-1, keepdim=True)).mul_(per_length_JB1)
        gradient_BD += half_JBD.sum(0)
        gradient_BD[tile] -= half_JBD.sum(1)
        # Huber's loss of x with slope s is s (x - s / 2), within the bend and beyond it.
        loss += torch.dot(slope_JBB.flatten(), apart_JBB.sub_(slope_JBB, alpha=0.5).flatten())
    return loss / batch**3, gradient_BD.mul_(2 / batch**3)


def _directions(features_BD: Tensor, vertices: slice) -> tuple[Tensor, Tensor]:
    """Return unit vectors from some samples j to all i (J, B, D), and 1 / distance (J, B, 1); 0 where two coincide."""
    difference_JBD = features_BD - features_BD[vertices, None]
    squared_JB1 = difference_JBD.square().sum(-1, keepdim=True)
    apart_JB1 = squared_JB1 > 0
    per_length_JB1 = torch.where(apart_JB1, squared_JB1, 1.0).rsqrt_() * apart_JB1
    return difference_JBD.mul_(per_length_JB1), per_length_JB1


class TeacherRelation(nn.Module):
    """How far the leader's features of a batch are arranged otherwise than the teacher's.

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
        with torch.autocast(features.device.type, enabled=False):
            return self.loss(upcast(features), upcast(teacher))
