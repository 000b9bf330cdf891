"""One network, evaluated like a cohort."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput


class Alone(nn.Module):
    """A network, or any function of normalised images, as a cohort of one peer.

    Args:
        network: Maps normalised images to logits. For evaluation over episodes: to features.

    Example:
        >>> import torch
        >>> Alone(torch.nn.Flatten())(torch.rand(2, 1, 1, 3)).logits.shape  # (peers, batch, classes)
        torch.Size([1, 2, 3])
    """

    def __init__(self, network: Callable[[Tensor], Tensor]):
        super().__init__()
        self._network = network

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> CohortOutput:
        """Return the output of the network as logits, features and ensemble."""
        outputs = self._network(images)
        return CohortOutput(logits=outputs[None], features=outputs[None], stem=images, ensemble=outputs)
