"""Episodes: a few classes with a few support and query images each, as index tensors into a split.

Axes: E episodes, W ways, S shots, Q queries; C the split's classes, N its images, K images drawn of a class.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.batches import Batch
from peerdistill.data.loaders import ArrayLoader, Step
from peerdistill.data.normaliser import Normaliser
from peerdistill.errors import UserError
from peerdistill.fewshot.config import EpisodeShape
from peerdistill.fewshot.dataset import ClassSplit
from peerdistill.rng import Draws, keyed_generator

# So many are drawn from one key: the first 600 of 1,000 episodes are the 600 of that seed.
_EVALUATION_BLOCK = 100


class Episodes(NamedTuple):
    """Classes and image rows of episodes; no image occurs twice in one."""

    classes: Int64[Tensor, "episodes ways"]
    support: Int64[Tensor, "episodes ways shots"]
    query: Int64[Tensor, "episodes ways queries"]

    @property
    def rows(self) -> Int64[Tensor, "episodes ways images"]:
        """All images of each class, support before query."""
        return torch.cat([self.support, self.query], dim=-1)


class EpisodeSampler:
    """Draws episodes of one shape from a split: classes without replacement, and their images without replacement.

    Args:
        split: Images in the order of their labels.
        shape: Of every episode.
        name: What errors call the split, and the options of the shape: for example "validation".

    Raises:
        UserError: For more ways than classes, or a class with fewer images than shots and queries.
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
                f"{self.shape.ways} ways were asked for in {name} episodes, the data has {classes} {name} classes"
            )
        asked = self.shape.shots + self.shape.queries
        fewest = int(self._sizes_C.argmin())
        if asked > self._sizes_C[fewest]:
            raise UserError(
                f"{self.shape.shots} shots and {self.shape.queries} queries were asked for in {name} episodes, "
                f"class '{split.class_names[fewest]}' has {int(self._sizes_C[fewest])} images"
            )

    def draw(self, episodes: int, generator: torch.Generator) -> Episodes:
        """Return so many episodes.

        Args:
            episodes: Number of episodes E.
            generator: Source of the draws, on the CPU, so that they are the same for every device.
        """
        ways, shots, queries = self.shape
        # The places of the smallest of random numbers are a random choice; in float64, where none are equal.
        keys_EC = torch.rand(episodes, len(self._sizes_C), dtype=torch.float64, generator=generator)
        classes_EW = keys_EC.topk(ways, largest=False).indices
        sizes_EW = self._sizes_C[classes_EW]
        keys_EWN = torch.rand(*sizes_EW.shape, int(self._sizes_C.max()), dtype=torch.float64, generator=generator)
        beyond_EWN = torch.arange(keys_EWN.shape[-1]) >= sizes_EW[..., None]
        places_EWK = keys_EWN.masked_fill_(beyond_EWN, torch.inf).topk(shots + queries, largest=False).indices
        rows_EWK = self._starts_C[classes_EW][..., None] + places_EWK
        return Episodes(classes_EW, rows_EWK[..., :shots], rows_EWK[..., shots:])


def evaluation_episodes(sampler: EpisodeSampler, episodes: int, seed: int) -> Episodes:
    """Return the episodes of a seed: they depend on it, the split's class sizes and the shape alone."""
    drawn = [
        sampler.draw(_EVALUATION_BLOCK, keyed_generator(Draws.EVALUATION_EPISODES, seed, block))
        for block in range(-(-episodes // _EVALUATION_BLOCK))
    ]
    return Episodes(*(torch.cat(parts)[:episodes] for parts in zip(*drawn, strict=True)))


class EpisodeBatches:
    """Training episodes, one a batch: the images of the first class, support before query, then of the next.

    What is drawn depends on seed, epoch and step alone. No image passes through the host.

    Args:
        split: Images to learn from.
        sampler: Of the episodes.
        normaliser: Of the pixels.
        episodes_per_epoch: Episodes in an epoch.
        augmentation: How images are varied.
        seed: Decides episodes and augmentation.
        device: Where the images live.
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
    ):
        self._loader = ArrayLoader(split, augmentation, seed, device)
        self._labels = split.labels.to(device)
        self._sampler = sampler
        self._normaliser = normaliser
        self._episodes_per_epoch = episodes_per_epoch
        self._seed = seed

    @property
    def steps_per_epoch(self) -> int:
        """Episodes in an epoch."""
        return self._episodes_per_epoch

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the episodes of ``epoch`` from number ``start`` on."""
        for step in range(start, self._episodes_per_epoch):
            episode = self._sampler.draw(1, keyed_generator(Draws.TRAINING_EPISODES, self._seed, epoch, step))
            rows = episode.rows.flatten()
            (images,) = self._loader.images([Step(epoch, step, rows)])
            rows = rows.to(self._labels.device, non_blocking=True)
            yield Batch(self._normaliser(images), self._labels[rows], rows)
