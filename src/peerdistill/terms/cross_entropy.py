"""Cross-entropy with the labels."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill.cohort import CohortOutput
from peerdistill.terms.batch import Batch


class CrossEntropy(nn.Module):
    """Cross-entropy of each peer with the labels, summed over peers and averaged over the batch (eq. 1, 2).

    Example:
        >>> import torch
        >>> from peerdistill import Cohort
        >>> from peerdistill.terms import Batch, CrossEntropy
        >>> cohort = Cohort("resnet20", classes=10, peers=2)
        >>> batch = Batch(labels=torch.arange(4), indices=torch.arange(4))
        >>> loss = CrossEntropy()(cohort(torch.rand(4, 3, 32, 32)), batch)
        >>> loss.shape
        torch.Size([])
    """

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the peers' cross-entropies."""
        peers = len(out.logits)
        return peers * F.cross_entropy(out.logits.flatten(0, 1), batch.labels.repeat(peers))
