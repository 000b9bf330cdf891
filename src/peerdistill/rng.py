"""Random numbers: keyed draws, which depend on a key alone and never on earlier draws, and the global states."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import numpy as np
import torch


class Draws(IntEnum):
    """First number of the key of every keyed draw. It keeps draws for different purposes unrelated."""

    ORDER = 0
    """Order of the training images: seed, epoch."""
    AUGMENTATION = 1
    """Augmentation: seed, epoch, then the step of a batch or the row of a picture."""
    TRAINING_EPISODES = 2
    """A training episode: seed, epoch, step."""
    EVALUATION_EPISODES = 3
    """A block of evaluation episodes: seed, block."""
    CALIBRATION = 4
    """Pictures that calibrate an int8 network: seed."""
    PIXELS = 5
    """Colours and shapes of an image: seed, epoch, row, number of earlier draws of the row in the epoch."""
    REPEATED_CROPS = 6
    """Crop of a picture that was drawn before in the epoch: seed, epoch, row, number of earlier draws (above 0)."""
    ERASING = 7
    """Erased rectangles: seed, epoch, step."""
    MIXING = 8
    """Mixing of the images of a batch: seed, epoch, step."""
    GROWTH = 9
    """Noise on the weights of a peer that starts from the leader: seed, peer."""
    WRONG_LABELS = 10
    """Training images that get a wrong label, and which: nothing else, so they are the same in every run."""
    FORWARD_PASS = 11
    """Dropout and the like in one of several processes: seed, step, batch of the step, process."""


class SplitSeed(IntEnum):
    """Seeds of the held-out splits. A split is the same for every run, whatever the run's seed."""

    TEST = 0
    VALIDATION = 1


def keyed_seed(draws: Draws, *key: int) -> int:
    """Return a 64-bit seed mixed from ``draws`` and ``key``; different keys of the same length give unrelated seeds."""
    return int(np.random.SeedSequence((int(draws), *key)).generate_state(1, np.uint64)[0])


def keyed_generator(draws: Draws, *key: int) -> torch.Generator:
    """Return a CPU generator seeded by :func:`keyed_seed`.

    Example:
        >>> order = torch.randperm(4, generator=keyed_generator(Draws.ORDER, 0, 7))
        >>> torch.equal(order, torch.randperm(4, generator=keyed_generator(Draws.ORDER, 0, 7)))
        True
    """
    return torch.Generator().manual_seed(keyed_seed(draws, *key))


@contextmanager
def library_draws(seed: int) -> Iterator[None]:
    """Seed the global generators that libraries draw from, Python's and that of PyTorch on the CPU; restore them after.

    Example:
        >>> with library_draws(3):
        ...     first = torch.rand(())
        >>> with library_draws(3):
        ...     second = torch.rand(())
        >>> bool(first == second)
        True
    """
    with library_seeds() as seed_libraries:
        seed_libraries(seed)
        yield


@contextmanager
def library_seeds() -> Iterator[Callable[[int], None]]:
    """Yield a function that seeds the generators of :func:`library_draws` as often as it is called; restore them after.

    Saving and restoring takes several times as long as seeding.
    """
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        try:
            yield _seed_libraries
        finally:
            random.setstate(state)


def _seed_libraries(seed: int) -> None:
    random.seed(seed)
    # torch.manual_seed would also reset the generators of devices.
    torch.default_generator.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """Return the state of Python's, NumPy's and PyTorch's generators, also on the GPU that this process uses."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.array(keys, dtype=np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        # Not of all GPUs: each of several processes has its own, and another machine may have fewer.
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Set all generators to ``state``, as :func:`random_state` returned it in this or another process."""
    random.setstate(state["python"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"][0])
