"""Prototypical networks (Snell et al., NIPS 2017): the class of a query is that of the nearest class mean.

Axes: M peers, B batch, W ways, K images per class (S support images, then Q queries), D feature width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.cohort import CohortOutput
from peerdistill.numerics import upcast, without_autocast
from peerdistill.terms.batch import Batch


def nearness(
    query: Float[Tensor, "*episodes queries width"], prototypes: Float[Tensor, "*episodes ways width"]
) -> Float[Tensor, "*episodes queries ways"]:
    """Return ``-|query - prototype|^2``, the logits of eq. 2 of Snell et al., as one matrix product."""
    crossed = query @ prototypes.transpose(-1, -2)
    return 2 * crossed - query.square().sum(-1)[..., :, None] - prototypes.square().sum(-1)[..., None, :]


def prototypical_logits(
    features: Float[Tensor, "*episodes ways images width"], shots: int
) -> Float[Tensor, "*episodes ways queries ways"]:
    """Return the logits of an episode's queries.

    Args:
        features: Features of all images of each class; its ``shots`` support images come first.
        shots: Support images per class; the prototype of a class is their mean (eq. 1).
    """
    prototypes = features[..., :shots, :].mean(-2)
    query = features[..., shots:, :]
    return nearness(query.flatten(-3, -2), prototypes).unflatten(-2, query.shape[-3:-1])


class Prototypical(nn.Module):
    """The loss of a prototypical network, summed over peers: mean cross-entropy of the queries of an episode (eq. 2).

    A batch is one episode with the images in the order of :class:`peerdistill.fewshot.EpisodeBatches`. The loss is
    computed in at least float32.

    Args:
        ways: Number of classes W of an episode.
        shots: Number of support images S per class.

    Example:
        >>> import torch
        >>> prototypical_logits(torch.tensor([[[0.0], [1.0]], [[4.0], [3.0]]]), shots=1)  # 2 ways, 1 query each
        tensor([[[-1., -9.]],
        <BLANKLINE>
                [[-9., -1.]]])
    """

    labels_only = True

    def __init__(self, ways: int, shots: int):
        super().__init__()
        self.ways = ways
        self.shots = shots

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the losses of all peers; the labels of the batch are not used."""
        return torch.stack([self._loss(features) for features in out.features]).sum()

    def _loss(self, features_BD: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
        with without_autocast(features_BD):
            logits_WQW = prototypical_logits(upcast(features_BD).unflatten(0, (self.ways, -1)), self.shots)
            of_class_W = torch.arange(self.ways, device=logits_WQW.device)
            return F.cross_entropy(logits_WQW.flatten(0, 1), of_class_W.repeat_interleave(logits_WQW.shape[1]))

    def extra_repr(self) -> str:
        """Return the sizes for ``repr``."""
        return f"ways={self.ways}, shots={self.shots}"
