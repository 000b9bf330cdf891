"""Load the images of a split on the device as bytes: indexed from memory."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.augmentation.crops import RandomCrops
from peerdistill.data.augmentation.pixels import PixelChanges
from peerdistill.data.dataset import ArraySplit
from peerdistill.data.step import Images, Step
from peerdistill.rng import Draws, keyed_generator


class ArrayLoader:
    """Loads images of an `ArraySplit`, which are kept on the device.

    With an augmentation of colours and shapes, which changes one image after the other, they are kept on the CPU.
    """

    def __init__(self, split: ArraySplit, augmentation: Augmentation | None, seed: int, device: torch.device):
        self._device = device
        self._changes = None if augmentation is None else PixelChanges(augmentation, seed)
        images = split.images.to("cpu" if self._changes else device)
        self._fetch = _fetcher(images, augmentation, seed)

    def images(self, steps: Sequence[Step]) -> Iterator[Images]:
        """Yield the images of each step."""
        return map(self._images_of, steps)

    def _images_of(self, step: Step) -> Images:
        images = step.chosen(self._fetch(step))  # the draws are those of the whole batch
        if not self._changes:
            return images
        pairs = zip(images, step.occurrences, strict=True)
        changed = torch.stack([self._changes(image, occurrence) for image, occurrence in pairs])
        # Pinned memory: the host must not wait until the device has finished the previous step.
        return (changed.pin_memory() if self._device.type == "cuda" else changed).to(self._device, non_blocking=True)

    def close(self) -> None:
        """Do nothing: this loader has no workers."""


def _fetcher(images: Tensor, augmentation: Augmentation | None, seed: int) -> Callable[[Step], Images]:
    """Return a function that copies the images of a step, cropped and flipped."""
    if augmentation is None or not (augmentation.crop_padding or augmentation.flip):
        return lambda step: images.index_select(0, step.rows.to(images.device, non_blocking=True))
    crops = RandomCrops(images, augmentation.crop_padding, augmentation.flip)
    return lambda step: crops.fetch(step.rows, keyed_generator(Draws.AUGMENTATION, seed, step.epoch, step.number))
