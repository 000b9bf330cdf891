"""Numerical helpers: the float32 minimum of losses and memories, and custom autograd functions."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def min_float32(dtype: torch.dtype) -> torch.dtype:
    """Return ``dtype``, or ``float32`` if ``dtype`` is less precise.

    Losses and memory banks are computed in at least ``float32``, whatever the precision of the networks is.

    Example:
        >>> min_float32(torch.bfloat16), min_float32(torch.float64)
        (torch.float32, torch.float64)
    """
    return torch.promote_types(dtype, torch.float32)


def upcast(x: Tensor) -> Tensor:
    """Return ``x`` in at least ``float32``; ``x`` itself if it already is."""
    return x.to(min_float32(x.dtype))


def without_autocast(x: Tensor) -> AbstractContextManager[object]:
    """Return a context in which operations on the device of ``x`` keep the precision of their inputs.

    Example:
        >>> x = torch.ones(2, 2)
        >>> with torch.autocast("cpu", torch.bfloat16), without_autocast(x):
        ...     (x @ x).dtype
        torch.float32
    """
    # PyTorch has no autocast for tensors without data.
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def with_custom_gradient(compute: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """Return the value of ``compute``, which computes its own gradient in the forward pass.

    Only the gradient is kept for the backward pass. Second derivatives are not supported.

    Args:
        compute: A function of ``x`` that returns a scalar and its gradient, which has the shape of ``x``.
        x: The input.

    Example:
        >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> with_custom_gradient(lambda x: (x.square().sum(), 2 * x), x).backward()
        >>> x.grad
        tensor([2., 4.])
    """
    value: Tensor = _ValueAndGradient.apply(x, compute)
    return value


def divide_gradient(x: Tensor, divisor: int) -> Tensor:
    """Return ``x`` unchanged. In the backward pass its gradient is divided by ``divisor``."""
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
