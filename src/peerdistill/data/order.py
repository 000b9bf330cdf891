"""The order of the training images in an epoch.

N images; D draws.
"""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.utils.data import WeightedRandomSampler

from peerdistill.data.config import SamplerName
from peerdistill.rng import Draws, keyed_generator


class EpochOrder:
    """Draws as many rows as there are images, for each epoch anew.

    Args:
        labels_N: Class of each image.
        sampler: "shuffle": a permutation. "balanced": rows drawn with replacement, such that each class that has images
            is equally likely, and each image within its class.
        seed: Seed of the draws.

    Example:
        >>> order = EpochOrder(torch.tensor([0, 0, 0, 1]), "shuffle", seed=0)
        >>> sorted(order(epoch=0).tolist())
        [0, 1, 2, 3]
    """

    def __init__(self, labels_N: Int64[Tensor, "N"], sampler: SamplerName, seed: int):
        self._samples = len(labels_N)
        self._seed = seed
        self._weights = class_balance(labels_N).tolist() if sampler == "balanced" else None

    def __call__(self, epoch: int) -> Int64[Tensor, "N"]:
        """Return the rows of ``epoch`` in their order."""
        generator = keyed_generator(Draws.ORDER, self._seed, epoch)
        if self._weights is None:
            return torch.randperm(self._samples, generator=generator)
        drawn = WeightedRandomSampler(self._weights, self._samples, replacement=True, generator=generator)
        return torch.tensor(list(drawn))


def class_balance(labels_N: Int64[Tensor, "N"]) -> Float64[Tensor, "N"]:
    """Return weights of the images whose sum is the same for each class: 1 / (number of images of its class).

    Example:
        >>> class_balance(torch.tensor([0, 2, 0, 0])).tolist()
        [0.3333333333333333, 1.0, 0.3333333333333333, 0.3333333333333333]
    """
    return 1 / torch.bincount(labels_N).double()[labels_N]


def earlier_draws(rows_D: Int64[Tensor, "D"]) -> Int64[Tensor, "D"]:
    """Return how often each row occurs before its place.

    Example:
        >>> earlier_draws(torch.tensor([7, 3, 7, 7, 3])).tolist()
        [0, 0, 1, 2, 1]
    """
    order_D = rows_D.argsort(stable=True)
    _, counts = torch.unique_consecutive(rows_D[order_D], return_counts=True)
    first_D = (counts.cumsum(0) - counts).repeat_interleave(counts)
    return torch.empty_like(rows_D).scatter_(0, order_D, torch.arange(len(rows_D)) - first_D)
