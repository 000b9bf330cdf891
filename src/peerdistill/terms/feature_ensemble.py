"""An ensemble that classifies all peers' features at once (PCL; Wu and Gong, AAAI 2021).

Axes: M peers, B batch, C classes, D feature width.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput


class FeatureEnsemble(nn.Module):
    """``z_e = W [v_1, ..., v_M] + b``: one linear classifier on the peers' features side by side.

    Args:
        peers: Number of peers M.
        feature_width: Width D of the penultimate features.
        classes: Number of classes C.
    """

    def __init__(self, peers: int, feature_width: int, classes: int):
        super().__init__()
        self.classifier = nn.Linear(peers * feature_width, classes)

    def forward(self, out: CohortOutput) -> Float[Tensor, "batch classes"]:
        """Return the ensemble's logits; gradient flows into classifier and peers."""
        return self.classifier(torch.cat([*out.features], dim=-1))
