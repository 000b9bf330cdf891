"""Make the images of a chunk from images in memory whose colours and shapes are changed one by one."""

import torch

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.augmentation.crops import RandomCrops
from peerdistill.data.augmentation.pixels import PixelChanges
from peerdistill.data.dataset import ArraySplit
from peerdistill.data.step import Chunk, Images
from peerdistill.rng import Draws, keyed_generator


class ArrayImages:
    """Crops and flips images of an `ArraySplit`, and then changes their pixels.

    The images are on the CPU. Forked workers share their memory; others get them once, when they start.

    Args:
        split: The images.
        augmentation: Augmentation of the images.
        seed: Seed of the augmentation.
    """

    def __init__(self, split: ArraySplit, augmentation: Augmentation, seed: int):
        self.image_bytes = split.images[0].numel()
        """Size of an image."""
        self._crops = RandomCrops(split.images.cpu(), augmentation.crop_padding, augmentation.flip)
        self._changes = PixelChanges(augmentation, seed)
        self._seed = seed

    def __call__(self, chunk: Chunk) -> Images:
        """Return the images of a chunk."""
        generator = keyed_generator(Draws.AUGMENTATION, self._seed, chunk.epoch, chunk.step)
        drawn = self._crops.draw(chunk.batch_size, generator).of(torch.tensor(chunk.positions))
        cropped = self._crops.fetch(torch.tensor(chunk.rows), drawn)
        return self._changes(cropped, chunk.occurrences)
