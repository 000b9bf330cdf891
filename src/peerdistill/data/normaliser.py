"""Normalise images: bytes to floats with mean 0 and standard deviation 1."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor


@runtime_checkable
class PixelStatistics(Protocol):
    """Mean and standard deviation of each channel, for pixels in 0..1."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel."""
        ...

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel."""
        ...


class Normaliser:
    """Normalises images of bytes by the mean and standard deviation of each channel.

    Args:
        statistics: Channel statistics, for example a data set or the card of a leader.
        device: Device of the images.
    """

    def __init__(self, statistics: PixelStatistics, device: torch.device):
        self.device = device
        mean_C11, std_C11 = (
            torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]
            for values in (statistics.mean, statistics.std)
        )
        # (x / 255 - mean) / std as one multiplication and one addition.
        self._scale_C11 = 1 / (255 * std_C11)
        self._shift_C11 = -mean_C11 / std_C11

    def __call__(
        self, images: UInt8[Tensor, "batch channels height width"]
    ) -> Float32[Tensor, "batch channels height width"]:
        """Return normalised images."""
        # In place: takes a third of the time of torch.addcmul, which is slow with one operand per channel.
        return images.to(torch.float32).mul_(self._scale_C11).add_(self._shift_C11)
