"""Counts of multiply-adds and of the memory of activations, with PyTorch's counter of operations.

Matrix products, convolutions and attention are counted. Elementwise operations, normalisations and reductions are not,
as in the figures of papers.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

_aten = torch.ops.aten


@dataclass
class Counted:
    """Multiply-adds of a block of code.

    Attributes:
        total: All of them.
        calls: Those of the calls of some modules, by name.
    """

    total: int = 0
    calls: dict[str, int] = field(default_factory=dict)


@contextmanager
def multiply_adds(modules: Mapping[str, nn.Module] | None = None) -> Iterator[Counted]:
    """Count the multiply-adds of the operations in a ``with`` statement, on tensors with or without data.

    Args:
        modules: Modules whose calls are also counted each; one that another of them calls counts in both.

    Example:
        >>> import torch
        >>> from peerdistill.study.cost import multiply_adds
        >>> with multiply_adds() as found:
        ...     _ = torch.nn.Conv2d(3, 8, kernel_size=3, device="meta")(torch.empty(2, 3, 10, 10, device="meta"))
        >>> found.total == 2 * (8 * 8) * (3 * 3) * 3 * 8  # images, positions, kernel, channels in and out
        True
    """
    found = Counted()
    counter = FlopCounterMode(display=False, custom_mapping=CORRECTED)
    handles = [handle for name, module in (modules or {}).items() for handle in _watch(name, module, counter, found)]
    try:
        with counter:
            yield found
    finally:
        for handle in handles:
            handle.remove()
        found.total = counter.get_total_flops() // 2


def _watch(name: str, module: nn.Module, counter: FlopCounterMode, found: Counted) -> list[Any]:
    """Add what calls of a module take to ``found``, and return the handles of the hooks."""
    before = 0

    def start(*_: Any) -> None:
        nonlocal before
        before = counter.get_total_flops()

    def stop(*_: Any) -> None:
        found.calls[name] = found.calls.get(name, 0) + (counter.get_total_flops() - before) // 2

    return [module.register_forward_pre_hook(start), module.register_forward_hook(stop)]


def _convolution_backward(
    gradient: Sequence[int],
    x: Sequence[int],
    weight: Sequence[int],
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    """Return the operations of the gradients of images and weights: each is as large as the forward pass.

    PyTorch's own count of the gradient of the weights is ``groups`` times too large.
    """
    del bias, stride, padding, dilation, output_padding, groups
    positions = (x if transposed else gradient)[2:]
    forward = 2 * x[0] * math.prod(positions) * math.prod(weight)
    return forward * sum(output_mask[:2])


def _product_in_place(x: Sequence[int], left: Sequence[int], right: Sequence[int], **_: Any) -> int:
    """Return the operations of a product of matrices, or of two batches of them, that is added to a tensor."""
    del x
    return 2 * math.prod(left) * right[-1]


# The counter has no formula for operations that write into their first argument.
CORRECTED = {_aten.convolution_backward: _convolution_backward}
CORRECTED |= dict.fromkeys((_aten.addmm_, _aten.baddbmm_), _product_in_place)


@contextmanager
def saved_bytes(*kept: nn.Module) -> Iterator[dict[int, int]]:
    """Collect the sizes of the tensors that autograd keeps for the backward pass, in bytes by storage.

    Tensors that share memory count once.

    Args:
        *kept: Modules whose parameters and buffers do not count: they are in memory anyway.

    Example:
        >>> import torch
        >>> from peerdistill.study.cost import saved_bytes
        >>> x = torch.ones(10, requires_grad=True)
        >>> with saved_bytes() as found:
        ...     y = x.exp().sin()  # keeps exp(x), which both gradients need
        >>> sum(found.values())
        40
    """
    anyway = {_storage(tensor) for module in kept for tensor in (*module.parameters(), *module.buffers())}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in anyway:
            found[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield found


def _storage(tensor: Tensor) -> int:
    """Return what identifies the memory of a tensor, also of one without data."""
    return tensor.untyped_storage()._cdata


class ZerosForValues(TorchDispatchMode):
    """Code that reads a number from a tensor without data gets 0, and False from a condition."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation."""
        if func is _aten._local_scalar_dense.default and args[0].is_meta:
            return torch.zeros((), dtype=args[0].dtype).item()
        return func(*args, **(kwargs or {}))
