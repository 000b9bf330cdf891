"""The ensemble of the peers as one plain network."""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import Cohort


class EnsembleNetwork(nn.Module):
    """All peers and their ensemble as one network: stages that peers share run once.

    Args:
        cohort: The peers. They are copied.
        ensemble: Returns the logits of the ensemble from the output of the cohort, like the ``ensemble`` of a method.
            None: the network returns the features of all peers side by side. The prototypical network with these
            features is the ensemble of few-shot peers: its squared distances are the sums of the peers'.

    Example:
        >>> import torch
        >>> from peerdistill import Cohort
        >>> from peerdistill.terms import MeanEnsemble
        >>> network = EnsembleNetwork(Cohort("resnet20", classes=10, peers=3), MeanEnsemble())
        >>> network(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, cohort: Cohort, ensemble: nn.Module | None):
        super().__init__()
        self.cohort = deepcopy(cohort)
        self.ensemble = deepcopy(ensemble)
        self.eval()

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch outputs"]:
        """Return the logits of normalised images; without ``ensemble``: the features of all peers side by side."""
        out = self.cohort(images)
        return torch.cat([*out.features], dim=1) if self.ensemble is None else self.ensemble(out)
