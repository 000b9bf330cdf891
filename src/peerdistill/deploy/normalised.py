"""Normalisation as a part of the network, so that a deployed graph takes pixels in 0..1."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normalised(nn.Module):
    """A network that takes images in 0..1, normalises them and, with a temperature, calibrates its logits.

    Args:
        network: Maps normalised images to logits.
        mean: Mean of each channel, for pixels in 0..1.
        std: Standard deviation of each channel, for pixels in 0..1.
        temperature: The logits are divided by it; None: they are not changed.

    Example:
        >>> network = Normalised(torch.nn.Flatten(), mean=[0.5], std=[0.25])
        >>> network(torch.ones(1, 1, 1, 2))
        tensor([[2., 2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], temperature: float | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of images whose pixels are in 0..1."""
        logits = self.network((images - self.mean) / self.std)
        return logits if self.temperature is None else logits / self.temperature
