"""Mixup and CutMix of the first images of a batch.

B batch; K mixed images; C channels; H, W height and width of an image.
"""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torchvision.transforms import v2

from peerdistill.data.config import MixConfig
from peerdistill.data.step import Step
from peerdistill.rng import Draws, keyed_seed, library_draws


class Mixing:
    """Mixes each of the first K images of a batch with another of them; the other images of the batch stay clean.

    torchvision's MixUp (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019) mix the images and their labels.
    With both, each batch has one of them, with probability 1/2 each.

    Args:
        options: Which of them, and the share of mixed images.
        classes: Number of classes.
        batch_size: Number of images in a batch.
        seed: Seed of the draws.

    Raises:
        UserError: Fewer than 2 images of a batch are to be mixed.
    """

    def __init__(self, options: MixConfig, classes: int, batch_size: int, seed: int):
        self._mixed = options.mixed_of(batch_size)
        self._seed = seed
        alphas = {v2.MixUp: options.mixup, v2.CutMix: options.cutmix}
        chosen = [kind(alpha=alpha, num_classes=classes) for kind, alpha in alphas.items() if alpha > 0]
        self._transform = chosen[0] if len(chosen) == 1 else v2.RandomChoice(chosen)

    def with_partners(self, positions: Int64[Tensor, "P"]) -> Int64[Tensor, "Q"]:
        """Return positions in a batch, sorted, with those of the images that are mixed into the images there.

        torchvision mixes each image with the one before it, and the first with the last.
        """
        mixed = positions[positions < self._mixed]
        return torch.cat([positions, (mixed - 1) % self._mixed]).unique()

    def __call__(
        self, images_BCHW: Float32[Tensor, "B C H W"], labels_B: Int64[Tensor, "B"], step: Step
    ) -> Float32[Tensor, "K classes"]:
        """Mix the first images in place, and return their class distributions.

        Args:
            images_BCHW: The images of a batch.
            labels_B: Their classes.
            step: The position of the batch, on which the draws depend.
        """
        first = images_BCHW[: self._mixed]
        with library_draws(keyed_seed(Draws.MIXING, self._seed, step.epoch, step.number)):
            mixed, targets = self._transform(first, labels_B[: self._mixed])
        first.copy_(mixed)
        return targets
