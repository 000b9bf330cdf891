"""Random changes of the colours and shapes in one image: RandAugment, TrivialAugment, colour jitter."""

from jaxtyping import UInt8
from torch import Tensor
from torchvision.transforms import v2

from peerdistill.data.augmentation import Augmentation
from peerdistill.data.step import Occurrence
from peerdistill.rng import Draws, keyed_seed, library_draws

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

    def __bool__(self) -> bool:
        """Return whether images are changed at all."""
        return bool(self._transforms)

    def __call__(self, image: UInt8[Tensor, "C H W"], occurrence: Occurrence) -> UInt8[Tensor, "C H W"]:
        """Return the changed image.

        Args:
            image: The image; it is not modified.
            occurrence: Which image it is. The changes depend on it and on the seed alone.
        """
        if not self._transforms:
            return image
        with library_draws(keyed_seed(Draws.PIXELS, self._seed, *occurrence)):
            for transform in self._transforms:
                image = transform(image)
        return image
