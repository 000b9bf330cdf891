"""Single precision at least, whatever precision the networks compute in: losses and memories are not to be coarser."""

import torch
from torch import Tensor


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """Return ``float64`` for itself, and ``float32`` for every other."""
    return torch.promote_types(dtype, torch.float32)


def in_single_at_least(x: Tensor) -> Tensor:
    """Return ``x`` in that precision, itself where it has it."""
    return x.to(at_least_single(x.dtype))
