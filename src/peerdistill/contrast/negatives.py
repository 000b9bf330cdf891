"""Negatives: training samples of other labels, drawn uniformly on the device.

Axes: B batch, S negatives, N samples.
"""

import warnings
from typing import Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

from peerdistill.errors import PeerdistillWarning, UserError


def label_sizes(labels_N: Int[Tensor, " samples"]) -> Int[Tensor, " labels"]:
    """Return the number of training samples of each label.

    Raises:
        UserError: Where all samples have the same label, a label is negative, or there are none.
    """
    if len(labels_N) == 0 or int(labels_N.min()) < 0:
        raise UserError("training labels must be numbers from 0 up, at least one of them")
    sizes = torch.bincount(labels_N)
    if int(sizes.max()) == len(labels_N):
        raise UserError("there are no negatives: all training samples have the same label")
    return sizes


class NegativeSampler(nn.Module):
    """Draws for each anchor its own samples whose label is not the anchor's.

    With the samples in order of their labels, those of one label are one block. A draw from the samples outside
    the block is a draw from N - block positions, shifted past the block where it falls behind its start: uniform,
    with nothing rejected and no round trip to the host.

    Args:
        labels_N: Label of every training sample, 0 or more.
        count: Negatives S for each anchor. Where some label leaves fewer samples of other labels than that, S is
            what it leaves, and a warning says so.
        replacement: Whether an anchor may draw a sample more than once. Without, each anchor takes the first S of its
            own random order of all that it may draw.

    Raises:
        UserError: Where all samples have the same label, a label is negative, or there are none.

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
        sizes = label_sizes(labels_N)
        fewest = len(labels_N) - int(sizes.max())
        if count > fewest:
            warnings.warn(
                f"{count} negatives were asked for, {fewest} samples of other labels exist: {fewest} are drawn",
                category=PeerdistillWarning,
                stacklevel=2,
            )
        self.count = min(count, fewest)
        self.replacement = replacement
        # Computed from the labels, which the data has: nothing to keep in a checkpoint.
        self.register_buffer("order", torch.argsort(labels_N, stable=True), persistent=False)
        self.register_buffer("sizes", sizes, persistent=False)
        self.register_buffer("starts", sizes.cumsum(0) - sizes, persistent=False)

    def forward(
        self, labels_B: Int[Tensor, " batch"], generator: torch.Generator | None = None
    ) -> Int[Tensor, "batch negatives"]:
        """Return S sample indices for each anchor label."""
        size_B1 = self.sizes[labels_B][:, None]
        start_B1 = self.starts[labels_B][:, None]
        if self.replacement:
            bits_BS = _bits(len(labels_B), self.count, generator=generator, device=self.order.device)
            position_BS = bits_BS.remainder_(len(self.order) - size_B1)
        else:
            position_BS = self._different(len(self.order) - size_B1[:, 0], generator)
        position_BS += size_B1 * (position_BS >= start_B1)
        return self.order[position_BS]

    def _different(self, outside_B: Int[Tensor, " batch"], generator: torch.Generator | None) -> Tensor:
        """Return S different positions for each anchor below its number of samples, which the host is asked for."""
        device = self.order.device
        orders = (torch.randperm(outside, generator=generator, device=device) for outside in outside_B.tolist())
        return torch.stack([order[: self.count] for order in orders])

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        sizes = f"count={self.count}, samples={len(self.order)}, labels={len(self.sizes)}"
        return sizes if self.replacement else f"{sizes}, replacement=False"


class SharedSampler(nn.Module):
    """Draws samples of any label, once for the whole batch: each anchor leaves out those of its own label.

    The work does not grow with N.

    Args:
        labels_N: Label of every training sample, 0 or more.
        count: Number S of samples. Where no more than that exist, it is all of them, each once, and a warning says so.
        replacement: Whether a sample may be drawn more than once.

    Raises:
        UserError: Where all samples have the same label, a label is negative, or there are none.
    """

    def __init__(self, labels_N: Int[Tensor, " samples"], count: int, replacement: bool = True):
        super().__init__()
        label_sizes(labels_N)
        self.replacement = replacement
        self.samples = len(labels_N)
        self.count = min(count, self.samples)
        if count > self.samples:
            warnings.warn(
                f"{count} shared negatives were asked for, {self.samples} training samples exist: all are taken",
                category=PeerdistillWarning,
                stacklevel=2,
            )

    def forward(
        self, labels_B: Int[Tensor, " batch"], generator: torch.Generator | None = None
    ) -> Int[Tensor, " negatives"]:
        """Return S sample indices; ``labels_B`` only tell the device."""
        if self.count == self.samples:
            return torch.arange(self.samples, device=labels_B.device)
        if not self.replacement:
            return torch.randperm(self.samples, generator=generator, device=labels_B.device)[: self.count]
        return _bits(self.count, generator=generator, device=labels_B.device).remainder_(self.samples)

    def extra_repr(self) -> str:
        """Show the sizes in ``repr``."""
        sizes = f"count={self.count}, samples={self.samples}"
        return sizes if self.replacement else f"{sizes}, replacement=False"


class EverySample(nn.Module):
    """Draws nothing: every anchor is contrasted with all samples of other labels.

    Args:
        labels_N: Label of every training sample, 0 or more.
        count: Not used.
        replacement: Not used.

    Raises:
        UserError: Where all samples have the same label, a label is negative, or there are none.
    """

    def __init__(self, labels_N: Int[Tensor, " samples"], count: int, replacement: bool = True):
        super().__init__()
        del count, replacement
        label_sizes(labels_N)

    def forward(self, labels_B: Int[Tensor, " batch"]) -> Literal["all"]:
        """Return the word for all of them."""
        del labels_B
        return "all"


def _bits(*shape: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    # 62 random bits: a remainder of them favours no sample by more than one part in 2^62 / N.
    return torch.randint(2**62, shape, generator=generator, device=device)
