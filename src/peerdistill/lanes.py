"""Peers side by side on a GPU: while a CUDA graph is recorded, each copy of a stage has a stream of its own.

A small network fills a part of a GPU only. Kernels of one stream run one after the other; those of several streams can
run at the same time. Autograd runs the backward pass of an operation in the stream of its forward pass, so both passes
gain. Without a graph, the host launches kernels too slowly for streams to help, so they are not used then.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable
from functools import partial

import torch
from torch import Tensor


class Lanes:
    """Computes values in streams of their own, called lanes, if the current stream records a CUDA graph.

    Else everything runs in the current stream. Values are equal in both cases.

    Args:
        x: The input of the first computations, from the current stream.
    """

    def __init__(self, x: Tensor):
        # Fake tensors of a GPU need no GPU, and then there is no stream to ask.
        on_gpu = x.is_cuda and torch.cuda.is_initialized()
        self._is_recording = on_gpu and torch.cuda.is_current_stream_capturing()
        if self._is_recording:
            self._main = torch.cuda.current_stream()
            self._streams = defaultdict[Hashable, torch.cuda.Stream](partial(torch.cuda.Stream, self._main.device))
            self._start = self._main.record_event()
            self._ready: dict[int, tuple[torch.cuda.Stream, torch.Event]] = {}

    def run(self, lane: Hashable, compute: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return ``compute(x)``, computed in a lane after ``x``. The caller holds the value until :meth:`join`.

        Args:
            lane: The lane; None for the current stream.
            compute: The computation.
            x: The input: that of the constructor or the value of a computation before.
        """
        if not self._is_recording:
            return compute(x)
        stream = self._main if lane is None else self._streams[lane]
        origin, event = self._ready.get(id(x), (self._main, self._start))
        if origin != stream:
            stream.wait_event(event)
            x.record_stream(stream)
        with torch.cuda.stream(stream):
            value = compute(x)
        self._ready[id(value)] = stream, stream.record_event()
        return value

    def join(self, *values: Tensor) -> None:
        """Let the current stream wait for all lanes, and use ``values``, which were computed there."""
        if not self._is_recording:
            return
        for stream in self._streams.values():
            self._main.wait_stream(stream)
        for value in values if self._streams else ():
            value.record_stream(self._main)
