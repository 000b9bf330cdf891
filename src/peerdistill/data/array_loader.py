"""Load the images of a split on the device as bytes: indexed from memory."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.augmentation.crops import Crops, RandomCrops
from peerdistill.data.dataset import ArraySplit
from peerdistill.data.step import Images, Step
from peerdistill.rng import Draws, keyed_generator


class ArrayLoader:
    """Loads images of an `ArraySplit`, which are kept on the device, where whole batches are cropped and flipped.

    Args:
        split: The images.
        augmentation: Augmentation of the images, which changes no pixels; None: the images as they are.
        seed: Seed of the augmentation.
        device: Device of the images.
    """

    def __init__(self, split: ArraySplit, augmentation: Augmentation | None, seed: int, device: torch.device):
        assert augmentation is None or not augmentation.changes_pixels, "this needs a loader of chunks"
        self._fetch = _fetcher(split.images.to(device), augmentation, seed)

    def images(self, steps: Sequence[Step]) -> Iterator[Images]:
        """Yield the images of each step."""
        return map(self._fetch, steps)

    def close(self) -> None:
        """Do nothing: this loader has no workers."""


def _fetcher(images: Tensor, augmentation: Augmentation | None, seed: int) -> Callable[[Step], Images]:
    """Return a function that copies the images of a step, cropped and flipped."""
    if augmentation is None or not (augmentation.crop_padding or augmentation.flip):
        return lambda step: images.index_select(0, step.chosen(step.rows).to(images.device, non_blocking=True))
    crops = RandomCrops(images, augmentation.crop_padding, augmentation.flip)

    def fetch(step: Step) -> Images:
        drawn = crops.draw(len(step.rows), keyed_generator(Draws.AUGMENTATION, seed, step.epoch, step.number))
        return crops.fetch(step.chosen(step.rows), Crops(*map(step.chosen, drawn)))

    return fetch
