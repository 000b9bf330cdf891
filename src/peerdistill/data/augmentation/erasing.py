"""Random erasing of rectangles."""

import torch
from jaxtyping import Float32
from torch import Tensor

from peerdistill.data.step import Step
from peerdistill.rng import Draws, keyed_seed, library_draws


class Erasing:
    """Erases a random rectangle of each image of a batch with some probability (Zhong et al., AAAI 2020).

    This is timm's ``RandomErasing`` with its defaults: the rectangle covers 2 % to 33 % of the area, and its pixels
    become 0, which is the mean of normalised images.

    Args:
        probability: Probability for each image.
        seed: Seed of the draws.
        device: Device of the images.
    """

    def __init__(self, probability: float, seed: int, device: torch.device):
        from timm.data.random_erasing import RandomErasing  # takes half a second

        self._erase = RandomErasing(probability, device=str(device))
        self._seed = seed

    def __call__(self, images: Float32[Tensor, "B C H W"], step: Step) -> None:
        """Erase rectangles in place.

        Args:
            images: Normalised images of a batch.
            step: The position of the batch, on which the draws depend.
        """
        with library_draws(keyed_seed(Draws.ERASING, self._seed, step.epoch, step.number)):
            self._erase(images)
