"""Normalisation as a part of the network, so that a deployed graph takes plain pixels."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normalised(nn.Module):
    """A network that takes images in 0..1 and normalises them itself.

    Args:
        network: Maps normalised images to logits.
        mean: Of pixels in 0..1, one for each channel.
        std: Of pixels in 0..1, one for each channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of images whose pixels are in 0..1."""
        return self.network((images - self.mean) / self.std)
