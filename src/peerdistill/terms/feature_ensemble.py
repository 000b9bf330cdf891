"""An ensemble with one classifier on the concatenated features of all peers (PCL; Wu and Gong, AAAI 2021).

Axes: M peers, B batch, C classes, D feature width.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.cohort import CohortOutput


class FeatureEnsemble(nn.Module):
    """``z_e = W [v_1, ..., v_M] + b``: one linear classifier on the concatenated features of all peers.

    Args:
        feature_widths: Width D of each peer's penultimate features.
        classes: Number of classes C.
    """

    def __init__(self, feature_widths: Sequence[int], classes: int):
        super().__init__()
        self.classifier = nn.Linear(sum(feature_widths), classes)

    def forward(self, out: CohortOutput) -> Float[Tensor, "batch classes"]:
        """Return the ensemble's logits. Gradient flows into the classifier and the peers."""
        return self.classifier(torch.cat([*out.features], dim=-1))
