"""The cross-entropy of a method, with label smoothing and class weights.

Axes: M peers, B batch, C classes; K mixed samples, the first of a batch.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class Criterion(nn.Module):
    """Cross-entropy with labels, and with the class distributions of mixed samples (mixup, CutMix).

    ``CE = -sum_n sum_c w_c q_nc log p_nc / sum_n sum_c w_c t_nc``, where ``t_n`` is the class distribution of sample n
    (one-hot, unless the sample is mixed), ``q_n = (1 - s) t_n + s / C`` is that with label smoothing s, and ``w`` are
    the class weights.

    Without mixed samples this is the weighted mean of ``torch.nn.functional.cross_entropy``. With them, it divides by
    the weights of the distributions, where PyTorch divides by the number of samples. Both are the same if all
    weights are 1. With other weights, PyTorch's rule would give labels and distributions different scales.

    Args:
        label_smoothing: s, at least 0 and below 1.
        class_weights: w, one positive weight per class. None: all are 1.

    Example:
        >>> import torch
        >>> from peerdistill.terms import Criterion
        >>> criterion = Criterion(label_smoothing=0.1, class_weights=[1.0, 2.0, 4.0])
        >>> labels = torch.tensor([0, 0, 2])
        >>> targets = torch.tensor([[0.7, 0.3, 0.0]])  # of the first sample, which is mixed
        >>> criterion(torch.randn(3, 3), labels, targets).shape
        torch.Size([])
    """

    class_weights: Tensor | None

    def __init__(self, label_smoothing: float = 0.0, class_weights: Sequence[float] | None = None):
        super().__init__()
        self.label_smoothing = label_smoothing
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        # Options, not state: a checkpoint does not contain them.
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(
        self,
        logits: Float[Tensor, "*peers batch classes"],
        labels: Int[Tensor, " batch"],
        targets: Float[Tensor, "mixed classes"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the cross-entropy, summed over peers and averaged over the batch.

        Args:
            logits: Logits of one predictor or of several peers.
            labels: Class of each sample; those of the first K samples are not used.
            targets: Class distributions of the first K samples. None: K is 0.
        """
        classes = logits.shape[-1]
        peers = logits.shape[:-2].numel()
        logits_NC = logits.reshape(-1, classes)
        options = {"weight": self.class_weights, "label_smoothing": self.label_smoothing}
        if targets is None:
            return peers * F.cross_entropy(logits_NC, labels.repeat(peers), **options)
        # Not F.one_hot, which reads the labels on the host.
        one_hot = labels[len(targets) :, None] == torch.arange(classes, device=labels.device)
        targets_BC = torch.cat([targets, one_hot.to(targets)])
        total = F.cross_entropy(logits_NC, targets_BC.repeat(peers, 1), **options, reduction="sum")
        return total / self._weight_of(targets_BC)

    def _weight_of(self, targets_BC: Float[Tensor, "batch classes"]) -> Tensor | int:
        """Return the sum of the class weights of a batch."""
        return len(targets_BC) if self.class_weights is None else (targets_BC * self.class_weights).sum()

    def extra_repr(self) -> str:
        """Return the options for ``repr``."""
        weights = "None" if self.class_weights is None else f"{len(self.class_weights)} weights"
        return f"label_smoothing={self.label_smoothing}, class_weights={weights}"
