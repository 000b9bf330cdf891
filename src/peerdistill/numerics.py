"""Numerical helpers: the float32 minimum of losses and memories, and custom autograd functions."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def min_float32(dtype: torch.dtype) -> torch.dtype:
    """Return ``dtype``, or ``float32`` where ``dtype`` is less precise.

    Losses and memories use it, whatever precision the networks compute in.
    """
    return torch.promote_types(dtype, torch.float32)


def upcast(x: Tensor) -> Tensor:
    """Return ``x`` in at least ``float32``; ``x`` itself where it already is."""
    return x.to(min_float32(x.dtype))


def with_custom_gradient(compute: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """Return a value that ``compute`` finds together with its gradient; nothing else is kept for the way back.

    Args:
        compute: From ``x`` to a single number and its gradient, shaped as ``x``.
        x: What the value is differentiated by, once.
    """
    value: Tensor = _ValueAndGradient.apply(x, compute)
    return value


def divide_gradient(x: Tensor, divisor: int) -> Tensor:
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
