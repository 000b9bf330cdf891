"""Load images that are made one by one on the device as bytes: worker processes make them in chunks."""

import os
import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process, queues
from typing import Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from peerdistill.data.step import Chunk, Images, Step
from peerdistill.errors import Failure, UserError, cause

CHUNKS_AHEAD = 2
"""Chunks that each worker makes in advance."""

SHARED_BYTES = 32 * 2**20
"""Shared memory for all images in transit: half of Docker's default for a container."""

# PyTorch's messages about workers that died or can't be reached. Its other errors are bugs, not the user's mistakes.
_WORKER_ERRORS = re.compile(r"^DataLoader worker \(pid|[Tt]oo many open files|ancdata|shared memory|mmap|shm")

_GROUP_SIGNALS = {number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))}
"""Signals that a terminal, systemd or Slurm sends to the whole process group."""


@runtime_checkable
class ImageMaker(Protocol):
    """Makes the images of a chunk. It runs in the workers, which get a copy of it when they start."""

    @property
    def image_bytes(self) -> int:
        """Size of an image."""
        ...

    def __call__(self, chunk: Chunk) -> Images:
        """Return the images of a chunk.

        Raises:
            UserError: An image can't be made.
        """
        ...


class ChunkLoader:
    """Loads images that worker processes make. The workers stay alive between epochs.

    Workers send images through shared memory, which is small in containers (64 MB in Docker). They therefore send a
    batch in chunks; all chunks in transit fit into half of that memory.

    Args:
        make: Makes the images.
        device: Device of the images.
        workers: Number of worker processes; 0: this process makes the images.
    """

    def __init__(self, make: ImageMaker, device: torch.device, workers: int):
        self._device = device
        self._workers = workers
        self._made = _MadeChunks(make)
        self._sampler = _ChunkSampler(chunk_size(make.image_bytes, workers))
        self._loader = self._new_loader()

    def _new_loader(self) -> DataLoader:
        return DataLoader(
            self._made,
            batch_size=None,  # the sampler yields chunks
            sampler=self._sampler,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            prefetch_factor=CHUNKS_AHEAD if self._workers else None,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=start_worker,
            generator=torch.Generator(),  # the default draws from the global generator
        )

    def images(self, steps: Sequence[Step]) -> Iterator[Images]:
        """Yield the images of each step.

        Raises:
            UserError: An image can't be made.
            Failure: A worker was killed, or can't send what it made.
        """
        self._sampler.steps = steps
        chunks = self._chunks()
        is_complete = False
        try:
            for step in steps:
                # The workers serve one iteration at a time; a second one would take the batches of the first.
                assert self._sampler.steps is steps, "an epoch was started before the previous one ended"
                yield self._assembled(chunks, len(step.chosen(step.rows))).to(self._device, non_blocking=True)
            is_complete = True
        finally:
            if not is_complete and self._sampler.steps is steps:
                self.close()

    def _assembled(self, chunks: Iterator[Images | UserError | Failure], size: int) -> Images:
        """Return a batch of ``size`` images. Each chunk is copied immediately, which frees its shared memory."""
        first = self._checked(next(chunks))
        if len(first) == size:
            return first
        whole = torch.empty((size, *first.shape[1:]), dtype=first.dtype, pin_memory=first.is_pinned())
        whole[: len(first)] = first
        done = len(first)
        del first
        while done < size:
            chunk = self._checked(next(chunks))
            whole[done : done + len(chunk)] = chunk
            done += len(chunk)
        return whole

    def _chunks(self) -> Iterator[Images | UserError | Failure]:
        """Yield what the workers send; raise Failure if they can't be reached any more."""
        if not self._workers:
            yield from self._loader
            return
        try:
            with _own_child_handler(), _signals_blocked():
                chunks = iter(self._loader)
            yield from chunks
        except (OSError, EOFError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _WORKER_ERRORS.search(str(error)):
                raise
            raise Failure(_sentence(error)) from None

    def _checked(self, chunk: Images | UserError | Failure) -> Images:
        if isinstance(chunk, UserError | Failure):
            # A new error object: raising ``chunk`` itself would create a reference cycle with this frame, and when
            # Python collects such a cycle the loader waits ten seconds for its workers.
            raise type(chunk)(str(chunk))
        return chunk

    def close(self) -> None:
        """Stop the workers, whatever their state. The next epoch starts new ones."""
        self._loader = self._new_loader()


def chunk_size(image_bytes: int, workers: int) -> int:
    """Return the number of images of ``image_bytes`` bytes each that a worker sends at a time."""
    chunks = max(1, workers) * (CHUNKS_AHEAD + 1)
    return max(1, SHARED_BYTES // (chunks * image_bytes))


@contextmanager
def _own_child_handler() -> Iterator[None]:
    """Restore the SIGCHLD handler that PyTorch replaces when it starts workers.

    PyTorch's handler raises an error in the middle of a training step when a worker dies. Without it, the error is
    raised between two steps, when the next batch is requested.
    """
    if not hasattr(signal, "SIGCHLD"):  # Windows
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block signals while workers are started, here and in each worker until ``start_worker`` unblocks them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _GROUP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(_number: int) -> None:
    """Set up a new worker: ignore the signals of the process group, and exit if a result can't be sent.

    A terminal, systemd or Slurm sends a signal to all processes. The training process then finishes its step, writes a
    checkpoint and stops the workers. It stops them with SIGTERM, so workers accept SIGTERM from it alone.
    """
    ignored = _GROUP_SIGNALS - {signal.SIGTERM}
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_exit_on_parents_signal, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ignored)
    elif hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _GROUP_SIGNALS)
    # By default a result that can't be sent is dropped, and the training process waits for it forever.
    queues.Queue._on_queue_feeder_error = staticmethod(_exit_unsent)  # pyright: ignore[reportAttributeAccessIssue]


def _exit_on_parents_signal() -> None:
    """Exit when the parent process, and no other, sends SIGTERM."""
    parent = parent_process()
    while True:
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        if parent is None or sender == parent.pid:
            os._exit(0)


def _exit_unsent(_error: Exception, _chunk: object) -> None:
    os._exit(1)


class _ChunkSampler:
    """Sampler of one epoch."""

    steps: Sequence[Step] = ()

    def __init__(self, size: int):
        self._size = size

    def __iter__(self) -> Iterator[Chunk]:
        for step in self.steps:
            yield from step.chunks(self._size)


class _MadeChunks(TorchDataset):
    """Runs in the workers: maps a chunk to its images, or to the error of one of them.

    The error is returned, not raised: PyTorch would wrap its message in a traceback.
    """

    def __init__(self, make: ImageMaker):
        self._make = make

    def __getitem__(self, chunk: Chunk) -> Images | UserError | Failure:
        try:
            return sent(self._make(chunk))
        except UserError as error:
            return error


def sent(made: Images) -> Images | Failure:
    """Return the images of a chunk, in a worker in shared memory, or the error if there is none left."""
    if get_worker_info() is None:
        return made
    try:
        # Done here, where an error can be returned; the queue would silently drop what does not fit.
        return made.share_memory_()
    except (OSError, RuntimeError) as error:
        return Failure(_sentence(error))


def _sentence(error: Exception) -> str:
    """Return the message for workers that can't be reached."""
    text = str(error)
    if re.search(r"[Tt]oo many open files|ancdata", text):
        return "data workers need more open files than the limit allows: raise it (ulimit -n), or use --workers 0"
    if re.search(r"[Nn]o space left|shared memory|shm|Bus error|mmap|allocate", text):
        return "data workers need more shared memory: enlarge /dev/shm, or use --workers 0"
    if isinstance(error, OSError):
        return f"data workers can't be used ({cause(error)}): use --workers 0"
    return "a data worker was killed, probably because memory ran out: use fewer workers (--workers)"
