"""From bytes to what networks see."""

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from peerdistill.data.dataset import Dataset


class Normaliser:
    """Turns bytes into pixels of mean 0 and standard deviation 1 by channel, on their device.

    Args:
        dataset: Whose channel statistics are used.
        device: Where the images will be.
    """

    def __init__(self, dataset: Dataset, device: torch.device):
        self.device = device
        mean_C11, std_C11 = (
            torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
            for values in (dataset.mean, dataset.std)
        )
        # (x / 255 - mean) / std as one multiplication and one addition.
        self._scale_C11 = 1 / (255 * std_C11)
        self._shift_C11 = -mean_C11 / std_C11

    def __call__(
        self, images: UInt8[Tensor, "batch channels height width"]
    ) -> Float32[Tensor, "batch channels height width"]:
        """Return normalised images."""
        # In place: a third of the time of torch.addcmul, which is slow where operands are numbers of a channel.
        return images.to(torch.float32).mul_(self._scale_C11).add_(self._shift_C11)
