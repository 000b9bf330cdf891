"""Learning how a teacher arranges a batch: distances and angles between samples (RKD; Park et al., CVPR 2019).

Axes: B batch, D feature width.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.cohort import CohortOutput


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


def angles(features_BD: Float[Tensor, "batch width"]) -> Float[Tensor, "batch batch batch"]:
    """Return the cosine of the angle at sample j between those to i and to k, (j, i, k); 0 where two coincide."""
    difference_BBD = features_BD[None, :] - features_BD[:, None]
    squared_BB = difference_BBD.square().sum(-1, keepdim=True)
    apart_BB = squared_BB > 0
    unit_BBD = difference_BBD * torch.where(apart_BB, squared_BB, 1.0).rsqrt() * apart_BB
    return unit_BBD @ unit_BBD.transpose(1, 2)


class TeacherRelation(nn.Module):
    """Mean Huber loss between a relation of the leader's features and that of the teacher's.

    Args:
        relation: :func:`relative_distances` over pairs, or :func:`angles` over triplets.
    """

    def __init__(self, relation: Callable[[Tensor], Tensor]):
        super().__init__()
        self.relation = relation

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the loss between leader and teacher; ``labels`` and ``indices`` are not used."""
        del labels, indices
        assert out.teacher is not None
        target = self.relation(out.teacher.features[-1].detach())
        return F.smooth_l1_loss(self.relation(out.features[-1]), target)
