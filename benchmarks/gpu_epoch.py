"""An epoch of training on a GPU, with the package's own loader."""

import time
from itertools import count
from typing import Any

import torch

from gpu_training import Peers, Size, Training, start_of_memory
from measuring import DEVICE, synchronise
from peerdistill.data import Augmentation, Dataset, train_batches
from peerdistill.data.dataset import ArraySplit
from peerdistill.training.loss_meter import LossMeter

LOG_EVERY = 20  # steps between reads of the loss, the default of a training


def epoch(size: Size, peers: Peers, way: str, *, warm_up: int, steps: int) -> dict[str, Any]:
    """Return seconds of an epoch with the package's own loader, from its first steps after the warm-up."""
    start_of_memory()
    training = Training(size, peers, way)
    batches = train_batches(
        (data := _images(size)).train,
        data,
        batch_size=size.batch,
        augmentation=Augmentation(min(4, size.image_size // 2)),
        seed=0,
        device=DEVICE,
        workers=0,
    )
    coming = (batch for number in count() for batch in batches.epoch(number))
    for batch, _ in zip(coming, range(warm_up), strict=False):
        training.step(batch)
    synchronise()
    started, meter = time.perf_counter(), LossMeter()
    for number in range(1, steps + 1):
        loss = training.step(next(coming))
        meter.add(loss.total, loss.parts)
        if number % LOG_EVERY == 0:
            meter.read(number)
    synchronise()
    took = (time.perf_counter() - started) / steps
    return {
        "size": size.name,
        "way": way,
        "peers": str(peers),
        "timed_steps": steps,
        "ms": 1e3 * took,
        "images_per_second": size.batch / took,
        "epoch_s": took * batches.steps_per_epoch,
    }


def _images(size: Size) -> Dataset:
    pixels = torch.randint(0, 256, (size.samples, 3, size.image_size, size.image_size), dtype=torch.uint8)
    split = ArraySplit(pixels, torch.arange(size.samples) % size.classes)
    names = tuple(map(str, range(size.classes)))
    half = (0.5, 0.5, 0.5)
    return Dataset("noise", names, 3, size.image_size, 1.0, half, half, split, None, None, fingerprint="")
