"""Episodes: a few classes with a few support and query images each, as rows of a split.

Axes: E episodes, W ways, S shots, Q queries; C classes of the split, N its images, K images drawn per class.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from peerdistill.data.array_loader import ArrayLoader
from peerdistill.data.augmentation import Augmentation
from peerdistill.data.batches import Batch
from peerdistill.data.normaliser import Normaliser
from peerdistill.data.step import Step
from peerdistill.errors import UserError
from peerdistill.fewshot.config import EpisodeShape
from peerdistill.fewshot.dataset import ClassSplit
from peerdistill.rng import Draws, keyed_generator
from peerdistill.shares import WHOLE, Share

# Episodes drawn from one key: 600 episodes of a seed are the first 600 of its 1,000 episodes.
_EVALUATION_BLOCK = 100


class Episodes(NamedTuple):
    """Classes and image rows of episodes. No image occurs twice in an episode."""

    classes: Int64[Tensor, "episodes ways"]
    support: Int64[Tensor, "episodes ways shots"]
    query: Int64[Tensor, "episodes ways queries"]

    @property
    def rows(self) -> Int64[Tensor, "episodes ways images"]:
        """All images of each class, support before query."""
        return torch.cat([self.support, self.query], dim=-1)


class EpisodeSampler:
    """Draws episodes of one shape from a split, without replacement of classes or images.

    Args:
        split: Images sorted by label.
        shape: Shape of every episode.
        name: Name of the split in error messages, such as "validation".

    Raises:
        UserError: There are more ways than classes, or a class has fewer images than shots and queries.
    """

    def __init__(self, split: ClassSplit, shape: EpisodeShape, name: str = "training"):
        self.shape = shape
        self._sizes_C = torch.bincount(split.labels, minlength=len(split.class_names))
        self._starts_C = self._sizes_C.cumsum(0) - self._sizes_C
        self._check(split, name)

    def _check(self, split: ClassSplit, name: str) -> None:
        classes = len(split.class_names)
        if self.shape.ways > classes:
            raise UserError(
                f"ways is {self.shape.ways} in {name} episodes, but there are only {classes} {name} classes: "
                "choose fewer ways"
            )
        needed = self.shape.shots + self.shape.queries
        fewest = int(self._sizes_C.argmin())
        if needed > self._sizes_C[fewest]:
            raise UserError(
                f"{name} episodes need {needed} images per class (shots {self.shape.shots}, queries "
                f"{self.shape.queries}), but class '{split.class_names[fewest]}' has only {int(self._sizes_C[fewest])}"
            )

    def draw(self, episodes: int, generator: torch.Generator) -> Episodes:
        """Return random episodes.

        Args:
            episodes: Number of episodes E.
            generator: Random number generator on the CPU, so that episodes are the same for every device.
        """
        ways, shots, queries = self.shape
        # The indices of the smallest random numbers are a choice without replacement; float64 makes ties unlikely.
        keys_EC = torch.rand(episodes, len(self._sizes_C), dtype=torch.float64, generator=generator)
        classes_EW = keys_EC.topk(ways, largest=False).indices
        sizes_EW = self._sizes_C[classes_EW]
        keys_EWN = torch.rand(*sizes_EW.shape, int(self._sizes_C.max()), dtype=torch.float64, generator=generator)
        beyond_EWN = torch.arange(keys_EWN.shape[-1]) >= sizes_EW[..., None]
        places_EWK = keys_EWN.masked_fill_(beyond_EWN, torch.inf).topk(shots + queries, largest=False).indices
        rows_EWK = self._starts_C[classes_EW][..., None] + places_EWK
        return Episodes(classes_EW, rows_EWK[..., :shots], rows_EWK[..., shots:])


def evaluation_episodes(sampler: EpisodeSampler, episodes: int, seed: int) -> Episodes:
    """Return the episodes of a seed. They depend on the seed, the class sizes and the shape only."""
    drawn = [
        sampler.draw(_EVALUATION_BLOCK, keyed_generator(Draws.EVALUATION_EPISODES, seed, block))
        for block in range(-(-episodes // _EVALUATION_BLOCK))
    ]
    return Episodes(*(torch.cat(parts)[:episodes] for parts in zip(*drawn, strict=True)))


class EpisodeBatches:
    """Training episodes, one per batch: the images of the first class, support before query, then of the next class.

    Episodes and augmentation depend on seed, epoch and step only. The images stay on the device.

    Args:
        split: The training images.
        sampler: Draws the episodes.
        normaliser: Normalises the pixels.
        episodes_per_epoch: Number of episodes per epoch.
        augmentation: Augmentation of the images.
        seed: Seed of episodes and augmentation.
        device: Device of the images.
        share: The part of each episode whose images this process loads.
    """

    def __init__(
        self,
        split: ClassSplit,
        sampler: EpisodeSampler,
        normaliser: Normaliser,
        *,
        episodes_per_epoch: int,
        augmentation: Augmentation,
        seed: int,
        device: torch.device,
        share: Share = WHOLE,
    ):
        self._share = share
        self._loader = ArrayLoader(split, augmentation, seed, device)
        self._labels = split.labels.to(device)
        self._sampler = sampler
        self._normaliser = normaliser
        self._episodes_per_epoch = episodes_per_epoch
        self._seed = seed

    @property
    def steps_per_epoch(self) -> int:
        """Number of episodes per epoch."""
        return self._episodes_per_epoch

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the episodes of ``epoch`` from number ``start`` on."""
        for step in range(start, self._episodes_per_epoch):
            episode = self._sampler.draw(1, keyed_generator(Draws.TRAINING_EPISODES, self._seed, epoch, step))
            rows = episode.rows.flatten()
            loaded = self._share.positions(len(rows))
            (images,) = self._loader.images([Step(epoch, step, rows, loaded=loaded)])
            rows = rows.to(self._labels.device, non_blocking=True)
            yield Batch(self._normaliser(images), self._labels[rows], rows)
