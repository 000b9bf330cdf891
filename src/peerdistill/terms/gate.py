"""A gated ensemble: a weighted mean of the peers' logits, with weights per sample (ONE; Lan et al., NeurIPS 2018).

Axes: M peers, B batch, C classes, D channels of the shared stem.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput, pooled


class GatedEnsemble(nn.Module):
    """``z_e = sum_m g_m z_m`` with the gate ``g = softmax(ReLU(BN(FC(pooled stem))))``.

    Args:
        peers: Number of peers M.
        stem_channels: Channels D of the shared stem's output.

    Example:
        >>> from peerdistill import Cohort
        >>> from peerdistill.terms import CrossEntropy, EnsembleCrossEntropy, GatedEnsemble, Method, Weighted
        >>> cohort = Cohort("resnet20", classes=10, peers=3, sharing="branch")
        >>> method = Method(
        ...     [Weighted("peers", 1.0, CrossEntropy()), Weighted("ensemble", 1.0, EnsembleCrossEntropy())],
        ...     ensemble=GatedEnsemble(cohort.peers, cohort.stem_channels),
        ... )
    """

    def __init__(self, peers: int, stem_channels: int):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(stem_channels, peers), nn.BatchNorm1d(peers), nn.ReLU())

    def forward(self, out: CohortOutput) -> Float[Tensor, "batch classes"]:
        """Return the ensemble's logits. Gradient flows into the gate and the peers."""
        weights_BM = self.gate(pooled(out.stem)).softmax(-1)
        return torch.einsum("bm,mbc->bc", weights_BM, out.logits)
