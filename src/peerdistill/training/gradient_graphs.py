"""Loss and gradient of a batch as a CUDA graph: the host launches one graph instead of a thousand small kernels.

Small networks do not keep a GPU busy: most of a step is the time in which Python launches kernels. A graph is recorded
once and replayed for every later batch of the same shape (https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs).
"""

import warnings
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from peerdistill.errors import PeerdistillWarning
from peerdistill.terms.method import Loss
from peerdistill.training.batches import IndexedBatch

EAGER_BATCHES = 2
"""Batches of a shape before a graph is recorded. In the first one, modules and libraries set themselves up."""

# Packages whose modules compute the same for every batch of a shape. Other code may change what it does from step to
# step, which a graph would not follow.
_KNOWN_PACKAGES = ("peerdistill", "torch", "torchvision", "timm")
_GRAPHS_KEPT = 4
_WAITS = "called a synchronizing CUDA operation"  # PyTorch's words


class GradientGraphs:
    """Computes the loss and adds the gradient of batches, by replaying a CUDA graph where that is possible.

    Losses, gradients and random draws are those of ``compute``. The parameters must have no gradient before a call.
    A batch whose computation waits for the device, or draws random numbers on the host, can't be recorded: then a
    :class:`PeerdistillWarning` names the reason, and all batches are computed without graphs.

    Args:
        compute: Computes the loss of a batch, detached from the graph of autograd, and adds its gradient to the
            parameters. Besides the parameters' gradients it may change buffers, in place.
        parameters: The parameters that get a gradient.
    """

    def __init__(self, compute: Callable[[IndexedBatch], Loss], parameters: Iterable[nn.Parameter]):
        self._compute = compute
        self._parameters = list(dict.fromkeys(parameters))
        self._seen: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, _Graph] = {}
        self._is_recordable = True

    def __call__(self, batch: IndexedBatch, constants: Hashable = ()) -> Loss:
        """Return the loss of ``batch``. Its tensors keep their values until the next call only.

        Args:
            batch: The batch.
            constants: The numbers of the host that the computation depends on, such as the weights of an epoch. A graph
                is used only for batches with the same.
        """
        if not self._is_recordable:
            return self._compute(batch)
        key = (constants, *(None if part is None else (part.shape, part.dtype) for part in _tensors(batch)))
        if key not in self._graphs:
            self._seen[key] += 1
            if self._seen[key] < EAGER_BATCHES:
                return self._compute(batch)
            if self._seen[key] == EAGER_BATCHES:
                return self._compute_and_watch(batch)
            self._record(key, batch)
        return self._graphs[key].replay(batch)

    def _record(self, key: Hashable, batch: IndexedBatch) -> None:
        while len(self._graphs) >= _GRAPHS_KEPT:
            self._graphs.pop(next(iter(self._graphs)))
        self._graphs[key] = _Graph(self._compute, batch, self._parameters)

    def _compute_and_watch(self, batch: IndexedBatch) -> Loss:
        """Return the loss of ``batch``, and find out whether its computation can be recorded."""
        before = _host_draws()
        with _waits_for_device() as waits:
            loss = self._compute(batch)
        if waits:
            self._give_up("it waits for the device")
        elif _host_draws() != before:
            self._give_up("it draws random numbers on the host")
        return loss

    def _give_up(self, reason: str) -> None:
        self._is_recordable = False
        warnings.warn(
            f"a training step can't be a CUDA graph, because {reason}: steps run without graphs",
            category=PeerdistillWarning,
            stacklevel=2,
        )


def is_known(*modules: nn.Module) -> bool:
    """Return whether all submodules are of packages whose modules compute the same for every batch of a shape."""
    return all(
        type(part).__module__.partition(".")[0] in _KNOWN_PACKAGES for module in modules for part in module.modules()
    )


class _Batch(NamedTuple):
    images: Tensor
    labels: Tensor
    indices: Tensor
    targets: Tensor | None


def _tensors(batch: IndexedBatch) -> _Batch:
    return _Batch(batch.images, batch.labels, batch.indices, batch.targets)


class _Graph:
    """A recorded computation. It reads its batch from, and writes loss and gradients to, memory of its own."""

    def __init__(self, compute: Callable[[IndexedBatch], Loss], batch: IndexedBatch, parameters: list[nn.Parameter]):
        self._batch = _Batch(*(None if part is None else part.clone() for part in _tensors(batch)))  # pyright: ignore
        self._graph = torch.cuda.CUDAGraph()
        # Other threads, such as the one that pins memory, may use the device meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._loss = compute(self._batch)
        self._gradients = [(parameter, parameter.grad) for parameter in parameters]

    def replay(self, batch: IndexedBatch) -> Loss:
        """Return the loss of ``batch``, and give the parameters its gradient."""
        for own, given in zip(self._batch, _tensors(batch), strict=True):
            if own is not None and given is not None:
                own.copy_(given)
        self._graph.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return self._loss


def _host_draws() -> tuple[object, ...]:
    """Return the states of the generators of PyTorch and NumPy on the host.

    Not that of Python's ``random``: no module of the known packages uses it, and checkers of types do.
    """
    name, keys, *others = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), name, np.asarray(keys).tobytes(), *others


@contextmanager
def _waits_for_device() -> Iterator[list[warnings.WarningMessage]]:
    """Collect a warning for every operation that waits for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        waits: list[warnings.WarningMessage] = []
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode(before)
            waits.extend(one for one in caught if _WAITS in str(one.message))
    for one in caught:
        if one not in waits:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
