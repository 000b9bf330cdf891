"""Samplers of negatives: training samples of other labels, drawn uniformly on the device.

Axes: B batch, S negatives, N samples.
"""

import warnings
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

from peerdistill.errors import PeerdistillWarning, UserError


def count_labels(labels_N: Int[Tensor, " samples"]) -> Int[Tensor, " labels"]:
    """Return the number of training samples of each label.

    Raises:
        UserError: If there are no samples, a label is negative or all samples have the same label.
    """
    if len(labels_N) == 0 or int(labels_N.min()) < 0:
        raise UserError("training labels must not be empty, and each must be at least 0")
    sizes = torch.bincount(labels_N)
    if int(sizes.max()) == len(labels_N):
        raise UserError("all training samples have the same label, so there are no negatives: use at least 2 classes")
    return sizes


class NegativeSampler(nn.Module):
    """Draws negatives for each anchor, uniformly from the samples whose label differs from the anchor's.

    Sorted by label, the samples of one label form a block. A position is drawn from the N - block others and shifted
    past the block if it is not before it. So no draw is rejected, and the host does not wait for the device.

    Args:
        labels_N: Label of every training sample, at least 0.
        count: Number of negatives S per anchor. It is lowered, with a warning, to the smallest number of samples of
            other labels that any label has.
        replacement: Whether to draw with replacement. Without it, each anchor takes the first S of a random permutation
            of all candidates.

    Raises:
        UserError: If there are no samples, a label is negative or all samples have the same label.

    Example:
        >>> import torch
        >>> from peerdistill.contrast import NegativeSampler
        >>> train_labels = torch.tensor([0, 1, 2, 0, 1, 2])
        >>> sampler = NegativeSampler(train_labels, count=4)
        >>> indices = sampler(torch.tensor([0, 2]))  # for one anchor of class 0 and one of class 2
        >>> indices.shape
        torch.Size([2, 4])
        >>> (train_labels[indices[0]] != 0).all().item()
        True
    """

    order: Int[Tensor, " samples"]
    starts: Int[Tensor, " labels"]
    sizes: Int[Tensor, " labels"]

    def __init__(self, labels_N: Int[Tensor, " samples"], count: int, replacement: bool = True):
        super().__init__()
        sizes = count_labels(labels_N)
        fewest = len(labels_N) - int(sizes.max())
        if count > fewest:
            warnings.warn(
                f"drawing {fewest} negatives per anchor instead of {count}: "
                f"some anchors have only {fewest} samples of other labels",
                category=PeerdistillWarning,
                stacklevel=2,
            )
        self.count = min(count, fewest)
        self.replacement = replacement
        # Not part of checkpoints: computed from the labels, which are part of the data.
        self.register_buffer("order", torch.argsort(labels_N, stable=True), persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)

    def forward(
        self, labels_B: Int[Tensor, " batch"], generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch negatives"]:
        """Return S sample indices for each anchor's label."""
        size_B1 = self.sizes[labels_B][:, None]
        start_B1 = self.starts[labels_B][:, None]
        if self.replacement:
            bits_BS = _bits(len(labels_B), self.count, generator=generator, device=self.order.device)
            position_BS = bits_BS.remainder_(len(self.order) - size_B1)
        else:
            position_BS = self._distinct(len(self.order) - size_B1[:, 0], generator)
        position_BS += size_B1 * (position_BS >= start_B1)
        return self.order[position_BS]

    def _distinct(self, outside_B: Int[Tensor, " batch"], generator: torch.Generator | None) -> Tensor:
        """Return S distinct positions per anchor. The host must read the numbers of candidates from the device."""
        device = self.order.device
        orders = (torch.randperm(outside, generator=generator, device=device) for outside in outside_B.tolist())
        return torch.stack([order[: self.count] for order in orders])

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        sizes = f"count={self.count}, samples={len(self.order)}, labels={len(self.sizes)}"
        return sizes if self.replacement else f"{sizes}, replacement=False"


class SharedSampler(nn.Module):
    """Draws samples of any label once for the whole batch; the loss ignores those of the anchor's label.

    The cost does not grow with N if samples are drawn with replacement.

    Args:
        labels_N: Label of every training sample, at least 0.
        count: Number of samples S. If there are at most S, each is returned once; if there are fewer, with a warning.
        replacement: Whether to draw with replacement.

    Raises:
        UserError: If there are no samples, a label is negative or all samples have the same label.
    """

    def __init__(self, labels_N: Int[Tensor, " samples"], count: int, replacement: bool = True):
        super().__init__()
        count_labels(labels_N)
        self.replacement = replacement
        self.samples = len(labels_N)
        self.count = min(count, self.samples)
        if count > self.samples:
            warnings.warn(
                f"using all {self.samples} training samples as shared negatives instead of {count}: there are no more",
                category=PeerdistillWarning,
                stacklevel=2,
            )

    def forward(
        self, labels_B: Int[Tensor, " batch"], generator: torch.Generator | None = None
    ) -> Int[Tensor, " negatives"]:
        """Return S sample indices, on the device of ``labels_B``."""
        if self.count == self.samples:
            return torch.arange(self.samples, device=labels_B.device)
        if not self.replacement:
            return torch.randperm(self.samples, generator=generator, device=labels_B.device)[: self.count]
        return _bits(self.count, generator=generator, device=labels_B.device).remainder_(self.samples)

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        sizes = f"count={self.count}, samples={self.samples}"
        return sizes if self.replacement else f"{sizes}, replacement=False"


class AllSampler(nn.Module):
    """Draws nothing: the negatives are all samples whose label differs from the anchor's.

    Args:
        labels_N: Label of every training sample, at least 0.
        count: Not used.
        replacement: Not used.

    Raises:
        UserError: If there are no samples, a label is negative or all samples have the same label.
    """

    def __init__(self, labels_N: Int[Tensor, " samples"], count: int, replacement: bool = True):
        super().__init__()
        del count, replacement
        count_labels(labels_N)

    def forward(self, labels_B: Int[Tensor, " batch"]) -> Literal["all"]:
        """Return "all", which :func:`peerdistill.contrast.multi_view_nce` understands."""
        del labels_B
        return "all"


def _bits(*shape: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    # The remainder of 62 random bits is uniform up to one part in 2^62 / N.
    return torch.randint(2**62, shape, generator=generator, device=device)
