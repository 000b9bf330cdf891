"""Random changes of the colours and shapes in single images: RandAugment, TrivialAugment, colour jitter."""

from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import v2

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.step import Occurrence
from peerdistill.rng import Draws, keyed_seed, library_seeds

_LIBRARY = {"randaugment": v2.RandAugment, "trivialaugment": v2.TrivialAugmentWide}


class PixelChanges:
    """Changes single images with torchvision's RandAugment or TrivialAugment, then with its colour jitter.

    All have the library's defaults: RandAugment makes 2 changes of magnitude 9 (Cubuk et al., 2020), TrivialAugment one
    of any magnitude (Mueller and Hutter, ICCV 2021).

    Args:
        augmentation: ``augment`` and ``color_jitter`` are used.
        seed: Seed of the draws.
    """

    def __init__(self, augmentation: Augmentation, seed: int):
        self._seed = seed
        self._transforms: list[v2.Transform] = []
        if augmentation.augment != "none":
            self._transforms.append(_LIBRARY[augmentation.augment]())
        if strength := augmentation.color_jitter:
            self._transforms.append(v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength))

    def __call__(
        self, images: Iterable[UInt8[Tensor, "C H W"]], occurrences: Sequence[Occurrence]
    ) -> UInt8[Tensor, "B C H W"]:
        """Return the changed images.

        Args:
            images: The images; they are not modified.
            occurrences: Which images they are. The changes of each depend on it and on the seed alone.
        """
        # Both save a tenth of the time or more: generators that are saved only once, and operations without autograd.
        with library_seeds() as seed_libraries, torch.inference_mode():
            changed = [
                self._changed(image, seed_libraries, occurrence)
                for image, occurrence in zip(images, occurrences, strict=True)
            ]
        return torch.stack(changed)  # outside of inference mode: autograd can save the batch

    def _changed(self, image: Tensor, seed_libraries: Callable[[int], None], occurrence: Occurrence) -> Tensor:
        seed_libraries(keyed_seed(Draws.PIXELS, self._seed, *occurrence))
        for transform in self._transforms:
            image = transform(image)
        return image
