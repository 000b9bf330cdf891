"""Cross-entropy with the labels."""

from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput
from peerdistill.terms.batch import Batch


class CrossEntropy(nn.Module):
    """Cross-entropy of each peer with the labels, summed over peers and averaged over the batch (eq. 1, 2).

    A mixed image is compared with its class distribution. Label smoothing and class weights are those of the method's
    :class:`Criterion`.

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

    accepts_mixed = True
    labels_only = True

    def forward(self, out: CohortOutput, batch: Batch) -> Float[Tensor, ""]:
        """Return the sum of the peers' cross-entropies."""
        return batch.criterion(out.logits, batch.labels, batch.targets)
