"""Make the images of a chunk from picture files."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.augmentation.crops import random_resized_square
from peerdistill.data.augmentation.pixels import PixelChanges
from peerdistill.data.dataset import FolderSplit
from peerdistill.data.step import Chunk, Images, Occurrence
from peerdistill.rng import Draws, keyed_seed


class FolderImages:
    """Decodes pictures of a `FolderSplit` or reads them from the cache, and augments them.

    Args:
        split: The pictures.
        augmentation: Augmentation of the images; None: the central crops of evaluation.
        seed: Seed of the augmentation.
    """

    def __init__(self, split: FolderSplit, augmentation: Augmentation | None, seed: int):
        self._split = split
        self._augmentation = augmentation
        self._seed = seed
        self._changes = None
        if augmentation is not None and augmentation.changes_pixels:
            self._changes = PixelChanges(augmentation, seed)

    @property
    def image_bytes(self) -> int:
        """Size of an image."""
        return self._split.channels * self._split.image_size**2

    def __call__(self, chunk: Chunk) -> Images:
        """Return the images of a chunk.

        Raises:
            UserError: A picture can't be read.
        """
        squares = [self._square(occurrence) for occurrence in chunk.occurrences]
        return self._changes(squares, chunk.occurrences) if self._changes else torch.stack(squares)

    def _square(self, occurrence: Occurrence) -> UInt8[Tensor, "channels size size"]:
        split, row = self._split, occurrence.row
        if self._augmentation is None:
            return torch.from_numpy(split.eval_reader.read(split.paths[row]).transpose(2, 0, 1).copy())
        pixels = split.train_reader.read(split.paths[row])
        crop = self._crop_seed(occurrence)
        return random_resized_square(pixels, split.image_size, self._augmentation, crop, split.interpolation)

    def _crop_seed(self, occurrence: Occurrence) -> int:
        epoch, row, earlier = occurrence
        if earlier:
            return keyed_seed(Draws.REPEATED_CROPS, self._seed, epoch, row, earlier)
        return keyed_seed(Draws.AUGMENTATION, self._seed, epoch, row)
