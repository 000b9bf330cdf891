"""Counts of the kernels that a GPU runs, of their operations and of the bytes that they move.

The stream of operations is the same for tensors without data. How many kernels an operation takes is up to PyTorch and
cuDNN; here it is 1 for all but the gradient of a convolution, which is one for the images and one for the weights.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from peerdistill.study.cost.counting import CORRECTED

# They reserve memory or return another view of it.
_WITHOUT_KERNEL = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "lift_fresh"})
# They read only as much of their first argument as they return.
_GATHERING = frozenset({"index", "index_select", "gather", "embedding"})
# They change only as much of their first argument as their last tensor has.
_SCATTERING = frozenset({"index_put_", "index_copy_", "scatter_", "scatter_add_", "index_add_"})
# They write to their first argument, or to a tensor of its size, and do not read it.
_OVERWRITING = frozenset({"fill_", "zero_", "copy_", "ones_like", "zeros_like", "new_zeros", "new_ones", "new_full"})


@dataclass(frozen=True)
class Operation:
    """An operation that a GPU runs.

    Attributes:
        name: Its name in PyTorch, without ``aten::``.
        kernels: Number of its kernels.
        flops: Floating-point operations of products and convolutions; 0 for all others.
        moved: Bytes that it reads and writes. Elements that are repeated by broadcasting count once.
    """

    name: str
    kernels: int
    flops: int
    moved: int


@contextmanager
def operations() -> Iterator[list[Operation]]:
    """Collect the operations of a ``with`` statement that would launch kernels, on tensors with or without data.

    Example:
        >>> import torch
        >>> from peerdistill.study.cost.kernels import operations
        >>> x = torch.empty(100, 10, device="meta")
        >>> with operations() as found:
        ...     y = x.view(10, 100).relu()  # a view is no kernel
        >>> found
        [Operation(name='relu', kernels=1, flops=0, moved=8000)]
    """
    counter = FlopCounterMode(display=False, custom_mapping=CORRECTED)
    found: list[Operation] = []
    with counter, _Recorder(counter, found):
        yield found


class _Recorder(TorchDispatchMode):
    def __init__(self, counter: FlopCounterMode, found: list[Operation]):
        super().__init__()
        self._counter = counter
        self._found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self._counter.get_total_flops()
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        outputs = _tensors(out)
        if outputs and not func.is_view and name not in _WITHOUT_KERNEL:
            read = {key: value for key, value in (kwargs or {}).items() if key != "out"}
            kernels, moved = _kernels_and_bytes(name, args, _tensors((args, read)), outputs)
            self._found.append(Operation(name, kernels, self._counter.get_total_flops() - before, moved))
        return out


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _kernels_and_bytes(name: str, args: Any, inputs: list[Tensor], outputs: list[Tensor]) -> tuple[int, int]:
    """Return the number of kernels of an operation, and the bytes that it reads and writes."""
    if name != "convolution_backward":
        return 1, _moved(name, inputs, outputs)
    gradient, images, weights = inputs[:3]
    needed = [other for other, is_needed in zip((weights, images), args[-1], strict=False) if is_needed]
    return len(needed), sum(map(_bytes, (*outputs, *needed))) + len(needed) * _bytes(gradient)


def _moved(name: str, inputs: list[Tensor], outputs: list[Tensor]) -> int:
    written = sum(map(_bytes, outputs))
    if name in _GATHERING:
        return 2 * written + sum(map(_bytes, inputs[1:]))
    if name in _SCATTERING:
        changed = math.prod(inputs[-1].shape) * inputs[0].element_size()
        return 2 * changed + sum(map(_bytes, inputs[1:]))
    return written + sum(map(_bytes, inputs[1:] if name in _OVERWRITING else inputs))


def _bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor's elements; those that an expanded tensor repeats count once."""
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return math.prod(size for size, stride in pairs if stride or not size) * tensor.element_size()
