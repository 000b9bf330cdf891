"""Workers send chunks, ignore signals, and stop without blocking the training process."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from peerdistill.data import DataConfig, Dataset, eval_batches, load_dataset, loaders
from peerdistill.data.loaders import FolderLoader
from peerdistill.data.step import Step
from peerdistill.errors import Failure

ROWS = 23


@pytest.fixture
def folder(make_folder) -> Dataset:
    counts = {"train/ant": 12, "train/bee": 11, "test/ant": 1, "test/bee": 1}
    return load_dataset(DataConfig(str(make_folder(counts)), image_size=8, validation=0.0))


@pytest.fixture(autouse=True)
def short_wait(monkeypatch):
    """Let the loader look after its workers every tenth of a second, not every five."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.1,))


def loader(folder: Dataset, workers: int = 2) -> FolderLoader:
    return FolderLoader(folder.train, None, 0, torch.device("cpu"), workers)


def steps(size: int = 10) -> list[Step]:
    return [Step(0, number, rows) for number, rows in enumerate(torch.arange(ROWS).split(size))]


def workers() -> list:
    return multiprocessing.active_children()


def begun(pictures: FolderLoader, size: int = 1) -> Iterator:
    images = pictures.images(steps(size))
    next(images)
    return images


@pytest.mark.parametrize("picture_bytes", [1, 5, 7, 40])
def test_chunks_of_any_size_are_the_same_batches(folder, monkeypatch, picture_bytes):
    whole = [images.clone() for images in loader(folder, 0).images(steps())]
    monkeypatch.setattr(loaders, "SHARED_BYTES", 6 * 192 * picture_bytes)
    found = list(loader(folder).images(steps()))
    assert [len(images) for images in found] == [10, 10, 3]
    assert all(map(torch.equal, found, whole))


@pytest.mark.parametrize(("size", "workers"), [(224, 1), (224, 2), (224, 8), (512, 4), (32, 64)])
def test_chunks_in_transit_fit_into_half_of_the_shared_memory_of_a_container(folder, size, workers):
    chunk = loaders.chunk_size(replace(folder.train, image_size=size), workers)
    assert chunk >= 1
    assert chunk * workers * loaders.CHUNKS_AHEAD * 3 * size**2 <= 32 * 2**20


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGHUP], [signal.SIGTERM], [signal.SIGTERM] * 2])
def test_workers_ignore_signals_of_the_process_group(folder, signals):
    """The sender must be another process: SIGTERM of their own process is how they are ended."""
    pictures = loader(folder)
    images = begun(pictures)
    for worker in workers():
        for number in signals:
            assert os.system(f"kill -{number.value} {worker.pid}") == 0
    time.sleep(0.05)
    assert len(list(images)) == ROWS - 1
    assert all(worker.is_alive() for worker in workers())


def test_workers_stop_when_their_parent_process_terminates_them(folder):
    pictures = loader(folder)
    images = begun(pictures)
    started = workers()
    for worker in started:
        worker.terminate()
    for worker in started:
        worker.join(5)
        assert worker.exitcode == 0
    images.close()


def test_a_killed_worker_is_reported_between_two_batches(folder):
    before = signal.getsignal(signal.SIGCHLD)
    pictures = loader(folder)
    images = begun(pictures)
    assert signal.getsignal(signal.SIGCHLD) is before
    for worker in workers():
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    with pytest.raises(Failure, match=r"^a data worker was killed, probably because memory ran out: use fewer workers"):
        list(images)
    assert torch.equal(torch.cat(list(pictures.images(steps()))), torch.cat(list(loader(folder, 0).images(steps()))))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            RuntimeError("unable to write to file </torch_1>: No space left on device (28)"),
            "memory: .*--workers 0",
        ),
        (RuntimeError("unable to open shared memory object: Too many open files (24)"), "ulimit -n.*--workers 0"),
        (OSError(13, "Permission denied"), "can't be used .permission denied.: use --workers 0"),
    ],
)
def test_a_chunk_that_a_worker_cannot_send_is_reported(folder, monkeypatch, error, sentence):
    def refuse(tensor):
        raise error

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    with pytest.raises(Failure, match=sentence):
        list(loader(folder).images(steps()))


def test_a_chunk_that_the_queue_drops_does_not_block_training(folder, monkeypatch):
    """The queue's own thread can't send it, after the worker has made it."""

    def unsent(pictures):
        return lambda: "can't be pickled"

    monkeypatch.setattr(loaders, "stack_pictures", unsent)
    with pytest.raises(Failure, match="a data worker was killed"):
        list(loader(folder).images(steps()))


def test_workers_that_cannot_be_started_are_reported(folder, monkeypatch):
    def no_fork():
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_fork)
    with pytest.raises(Failure, match=r"can't be used \(resource temporarily unavailable\): use --workers 0"):
        list(loader(folder).images(steps()))


def test_a_bug_in_a_worker_keeps_its_traceback(folder, monkeypatch):
    def broken(pictures):
        raise RuntimeError("a bug")

    monkeypatch.setattr(loaders, "stack_pictures", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        list(loader(folder).images(steps()))


def test_validation_batches_come_in_chunks_too(folder, monkeypatch):
    monkeypatch.setattr(loaders, "SHARED_BYTES", 6 * 192 * 3)
    how = {"batch_size": 10, "device": "cpu"}
    found, expected = (list(eval_batches(folder.train, folder, workers=workers, **how)) for workers in (2, 0))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.images, other.images)
