"""How a split's images reach the device as bytes: gathered from a resident set, or decoded from files."""

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process, queues
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from peerdistill.data.augmentation import Augmentation, RandomCrops, random_resized_square
from peerdistill.data.dataset import ArraySplit, FolderSplit
from peerdistill.errors import Failure, UserError
from peerdistill.files import reason
from peerdistill.rng import Draws, keyed_generator, keyed_seed

Images = UInt8[Tensor, "batch channels height width"]


_PARCELS_AHEAD = 2
"""Parcels that each worker decodes before they are asked for."""

_SHARED_BYTES = 32 * 2**20
"""Shared memory that all pictures under way may take together: half of what Docker gives a container."""

# PyTorch's words for workers that died or can't be reached. Other errors of theirs are not for the user.
_OF_WORKERS = re.compile(r"^DataLoader worker \(pid|[Tt]oo many open files|ancdata|shared memory|mmap|shm")


_OF_THE_GROUP = {number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))}
"""Signals that a terminal, systemd or Slurm sends to all processes of a training."""


class Step(NamedTuple):
    """The samples of one batch, and when it is due."""

    epoch: int
    number: int
    """Within the epoch, from 0."""
    rows: Int64[Tensor, "batch"]


class ArrayFeed:
    """Images of an `ArraySplit` that live on the device."""

    def __init__(self, split: ArraySplit, augmentation: Augmentation | None, seed: int, device: torch.device):
        images = split.images.to(device)

        def as_they_are(step: Step) -> Images:
            return images.index_select(0, step.rows.to(device, non_blocking=True))

        self._images_of: Callable[[Step], Images] = as_they_are
        if augmentation is not None and (augmentation.crop_padding or augmentation.flip):
            crops = RandomCrops(images, augmentation.crop_padding, augmentation.flip)
            self._images_of = lambda step: crops.fetch(
                step.rows, keyed_generator(Draws.AUGMENTATION, seed, step.epoch, step.number)
            )

    def images(self, steps: Sequence[Step]) -> Iterator[Images]:
        """Yield the images of each step's rows."""
        return map(self._images_of, steps)

    def close(self) -> None:
        """Do nothing: there are no workers."""


class FolderFeed:
    """Pictures of a `FolderSplit`, decoded in worker processes that outlive an epoch.

    Workers hand pictures over through shared memory, of which a container may have little (64 MB in Docker). So they
    send a batch in parcels, small enough that all parcels under way fit there; a batch is put together here.
    """

    def __init__(
        self, split: FolderSplit, augmentation: Augmentation | None, seed: int, device: torch.device, workers: int
    ):
        self._device = device
        self._workers = workers
        self._parcel = _parcel_size(split, workers)
        self._pictures = _DecodedPictures(split, augmentation, seed)
        self._plan = _Plan(self._parcel)
        self._loader = self._new_loader()

    def _new_loader(self) -> DataLoader:
        return DataLoader(
            self._pictures,
            batch_sampler=self._plan,
            num_workers=self._workers,
            persistent_workers=self._workers > 0,
            prefetch_factor=_PARCELS_AHEAD if self._workers else None,
            collate_fn=_stack,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=start_worker,
            generator=torch.Generator(),  # by default every epoch would draw from the global one
        )

    def images(self, steps: Sequence[Step]) -> Iterator[Images]:
        """Yield the pictures of each step's rows.

        Raises:
            UserError: For a picture that can't be read.
            Failure: Where a worker was killed, or can't hand over what it decoded.
        """
        self._plan.steps = steps
        parcels = self._parcels()
        is_complete = False
        try:
            for step in steps:
                # The workers serve one iteration at a time: a newer one has taken the batches that were to come.
                assert self._plan.steps is steps, "an epoch of these batches was begun while another was under way"
                yield self._put_together(parcels, len(step.rows)).to(self._device, non_blocking=True)
            is_complete = True
        finally:
            if not is_complete and self._plan.steps is steps:
                self.close()

    def _put_together(self, parcels: Iterator[Images | UserError | Failure], pictures: int) -> Images:
        """Return so many pictures; each parcel is copied at once, so that its shared memory is free again."""
        first = self._checked(next(parcels))
        if len(first) == pictures:
            return first
        whole = torch.empty((pictures, *first.shape[1:]), dtype=first.dtype, pin_memory=first.is_pinned())
        whole[: len(first)] = first
        done = len(first)
        del first
        while done < pictures:
            parcel = self._checked(next(parcels))
            whole[done : done + len(parcel)] = parcel
            done += len(parcel)
        return whole

    def _parcels(self) -> Iterator[Images | UserError | Failure]:
        """Yield what the workers send; end with a sentence where they can't be reached any more."""
        if not self._workers:
            yield from self._loader
            return
        try:
            with _own_children(), _signals_held():
                parcels = iter(self._loader)
            yield from parcels
        except (OSError, EOFError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _OF_WORKERS.search(str(error)):
                raise
            raise Failure(_sentence(error)) from None

    def _checked(self, parcel: Images | UserError | Failure) -> Images:
        if isinstance(parcel, UserError | Failure):
            # A new error: this frame holds ``parcel``, so raising it would tie frame and loader into a cycle of
            # garbage, and Python's way of freeing one makes the loader wait ten seconds for its workers.
            raise type(parcel)(str(parcel))
        return parcel

    def close(self) -> None:
        """End the workers, idle, in the middle of an epoch or dead; a next epoch gets new ones."""
        self._loader = self._new_loader()


def _parcel_size(split: FolderSplit, workers: int) -> int:
    """Return how many pictures a worker sends at a time."""
    picture = split.channels * split.image_size**2
    parcels = max(1, workers) * (_PARCELS_AHEAD + 1)
    return max(1, _SHARED_BYTES // (parcels * picture))


@contextmanager
def _own_children() -> Iterator[None]:
    """Undo what PyTorch does to SIGCHLD when workers are started.

    Its handler raises an error wherever the training step is when a worker dies. Without it the error comes when the
    next batch is asked for, between two steps.
    """
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, before)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals wait while workers are started: here, and in each worker until ``start_worker`` deals with them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start_worker(_number: int) -> None:
    """Let a new worker leave signals to the process that started it, and never leave that one waiting.

    A terminal, systemd or Slurm sends a signal to all processes. The training process then finishes its step and writes
    a checkpoint; it ends the workers afterwards. SIGTERM must go on working between the two: it is how that is done.
    """
    ignored = _OF_THE_GROUP - {signal.SIGTERM}
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_by_parent, daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ignored)
    elif hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_THE_GROUP)
    # What can't be sent is dropped by default, and then waited for for ever.
    queues.Queue._on_queue_feeder_error = staticmethod(_end_unheard)  # pyright: ignore[reportAttributeAccessIssue]


def _end_by_parent() -> None:
    """End this process when the one that started it, and no other, says so."""
    parent = parent_process()
    while True:
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        if parent is None or sender == parent.pid:
            os._exit(0)


def _end_unheard(_error: Exception, _parcel: object) -> None:
    os._exit(1)


class _Plan:
    """Batch sampler of one epoch: lists of (epoch, row), a parcel each."""

    steps: Sequence[Step] = ()

    def __init__(self, parcel: int):
        self._parcel = parcel

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in self.steps:
            for rows in step.rows.split(self._parcel):
                yield [(step.epoch, row) for row in rows.tolist()]


class _DecodedPictures(TorchDataset):
    """Runs in the workers: from (epoch, row) to bytes, or to the error that names the bad picture.

    An error is handed over, not raised: a worker would bury its sentence in a traceback.
    """

    def __init__(self, split: FolderSplit, augmentation: Augmentation | None, seed: int):
        self._split = split
        self._augmentation = augmentation
        self._seed = seed

    def __getitem__(self, key: tuple[int, int]) -> UInt8[Tensor, "channels size size"] | UserError:
        epoch, row = key
        try:
            return self._square(epoch, row)
        except UserError as error:
            return error

    def _square(self, epoch: int, row: int) -> UInt8[Tensor, "channels size size"]:
        split = self._split
        if self._augmentation is None:
            return torch.from_numpy(split.squares.read(split.paths[row]).transpose(2, 0, 1).copy())
        draws = keyed_seed(Draws.AUGMENTATION, self._seed, epoch, row)
        return random_resized_square(split.shrunk.read(split.paths[row]), split.image_size, self._augmentation, draws)


def _stack(pictures: list[Tensor | UserError]) -> Images | UserError | Failure:
    decoded = []
    for picture in pictures:
        if isinstance(picture, UserError):
            return picture
        decoded.append(picture)
    stacked = torch.stack(decoded)
    if get_worker_info() is None:
        return stacked
    try:
        # Here, where an error can be handed over: the queue would only drop what does not fit.
        return stacked.share_memory_()
    except (OSError, RuntimeError) as error:
        return Failure(_sentence(error))


def _sentence(error: Exception) -> str:
    """Return in a sentence why data workers and this process have lost each other."""
    cause = str(error)
    if re.search(r"[Tt]oo many open files|ancdata", cause):
        return "too many files are open for data workers: raise the limit (ulimit -n), or use --workers 0"
    if re.search(r"[Nn]o space left|shared memory|shm|Bus error|mmap|allocate", cause):
        return "data workers have too little shared memory (/dev/shm): give it more, or use --workers 0"
    if isinstance(error, OSError):
        return f"data workers can't be used ({reason(error)}): --workers 0 does without"
    return "a data worker was killed, perhaps for lack of memory: fewer workers (--workers) need less"
