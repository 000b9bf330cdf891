"""Functions that bring their gradient along, instead of leaving it to autograd."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def with_own_gradient(compute: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """Return a value that ``compute`` finds together with its gradient; nothing else is kept for the way back.

    Args:
        compute: From ``x`` to a single number and its gradient, shaped as ``x``.
        x: What the value is differentiated by, once.
    """
    value: Tensor = _ValueAndGradient.apply(x, compute)
    return value


def divided_gradient(x: Tensor, divisor: int) -> Tensor:
    """Return ``x``, whose gradient is divided by ``divisor``."""
    same: Tensor = _DividedGradient.apply(x, divisor)
    return same


class _ValueAndGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, compute):
        value, gradient = compute(x)
        ctx.save_for_backward(gradient)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx, *upstream):  # pyright: ignore[reportIncompatibleMethodOverride] (once_differentiable)
        (gradient,) = ctx.saved_tensors
        return gradient * upstream[0], None


class _DividedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, divisor):
        ctx.divisor = divisor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *upstream):
        return upstream[0] / ctx.divisor, None
