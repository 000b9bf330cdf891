"""Learning from labels."""

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.cohort import CohortOutput


class CrossEntropy(nn.Module):
    """Cross-entropy of every peer with the labels, summed over peers, mean over the batch (eq. 1, 2)."""

    def forward(
        self, out: CohortOutput, labels: Int[Tensor, " batch"], indices: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """Return the sum of the peers' losses; ``indices`` are not used."""
        del indices
        peers = len(out.logits)
        return peers * F.cross_entropy(out.logits.flatten(0, 1), labels.repeat(peers))
