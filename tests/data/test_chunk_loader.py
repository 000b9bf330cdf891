"""Workers send chunks, ignore signals, and stop without blocking the training process."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator

import pytest
import torch
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from peerdistill.data import Augmentation, DataConfig, Dataset, chunk_loader, eval_batches, load_dataset
from peerdistill.data.array_images import ArrayImages
from peerdistill.data.chunk_loader import ChunkLoader, ImageMaker
from peerdistill.data.folder_images import FolderImages
from peerdistill.data.step import Step
from peerdistill.errors import Failure

ROWS = 23
KINDS = ["pictures", "arrays"]


@pytest.fixture
def folder(make_folder) -> Dataset:
    counts = {"train/ant": 12, "train/bee": 11, "test/ant": 1, "test/bee": 1}
    return load_dataset(DataConfig(str(make_folder(counts)), image_size=8, validation=0.0))


@pytest.fixture
def pictures(folder) -> FolderImages:
    return FolderImages(folder.train, None, 0)


@pytest.fixture
def arrays(make_npz) -> ArrayImages:
    """The crops and flips of a whole batch, and changes of single images."""
    dataset = load_dataset(DataConfig(f"npz:{make_npz()}", validation=0.0))
    return ArrayImages(dataset.train, Augmentation(augment="trivialaugment", color_jitter=0.4), 5)


@pytest.fixture
def make(request) -> ImageMaker:
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def short_wait(monkeypatch):
    """Let the loader look after its workers, and wait for their end, a tenth of a second in place of five."""
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, "__defaults__", (0.1,))
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)


def loader(make: ImageMaker, workers: int = 2) -> ChunkLoader:
    return ChunkLoader(make, torch.device("cpu"), workers)


def steps(size: int = 10) -> list[Step]:
    return [Step(0, number, rows) for number, rows in enumerate(torch.arange(ROWS).split(size))]


def copies(images: Iterator) -> list[torch.Tensor]:
    """Batches outside of the shared memory of the workers."""
    return [batch.clone() for batch in images]


def workers() -> list:
    return multiprocessing.active_children()


def begun(made: ChunkLoader, size: int = 1) -> Iterator:
    images = made.images(steps(size))
    next(images)
    return images


@pytest.mark.parametrize("make", KINDS, indirect=True)
@pytest.mark.parametrize("chunk", [1, 7, 40])
def test_chunks_of_any_size_are_the_same_batches(make, monkeypatch, chunk):
    whole = copies(loader(make, 0).images(steps()))
    monkeypatch.setattr(chunk_loader, "SHARED_BYTES", 6 * 192 * chunk)
    found = copies(loader(make).images(steps()))
    assert [len(images) for images in found] == [10, 10, 3]
    assert all(map(torch.equal, found, whole))


@pytest.mark.parametrize(("size", "workers"), [(224, 1), (224, 2), (224, 8), (512, 4), (32, 64)])
def test_chunks_in_transit_fit_into_half_of_the_shared_memory_of_a_container(size, workers):
    chunk = chunk_loader.chunk_size(3 * size**2, workers)
    assert chunk >= 1
    assert chunk * workers * chunk_loader.CHUNKS_AHEAD * 3 * size**2 <= 32 * 2**20


@pytest.mark.parametrize("signals", [[signal.SIGINT], [signal.SIGHUP], [signal.SIGTERM], [signal.SIGTERM] * 2])
def test_workers_ignore_signals_of_the_process_group(pictures, signals):
    """The sender must be another process: SIGTERM of their own process is how they are ended."""
    images = begun(loader(pictures))
    for worker in workers():
        for number in signals:
            assert os.system(f"kill -{number.value} {worker.pid}") == 0
    time.sleep(0.05)
    assert len(list(images)) == ROWS - 1
    assert all(worker.is_alive() for worker in workers())


def test_workers_stop_when_their_parent_process_terminates_them(pictures):
    images = begun(loader(pictures))
    started = workers()
    for worker in started:
        worker.terminate()
    for worker in started:
        worker.join(5)
        assert worker.exitcode == 0
    images.close()


@pytest.mark.parametrize("make", KINDS, indirect=True)
def test_a_killed_worker_is_reported_between_two_batches(make):
    before = signal.getsignal(signal.SIGCHLD)
    made = loader(make)
    images = begun(made)
    assert signal.getsignal(signal.SIGCHLD) is before
    for worker in workers():
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    with pytest.raises(Failure, match=r"^a data worker was killed, probably because memory ran out: use fewer workers"):
        list(images)
    assert all(map(torch.equal, copies(made.images(steps())), copies(loader(make, 0).images(steps()))))


@pytest.mark.parametrize("make", KINDS, indirect=True)
def test_closing_leaves_no_worker(make):
    made = loader(make)
    images = begun(made)
    assert len(workers()) == 2
    images.close()
    made.close()
    assert workers() == []
    assert len(list(made.images(steps()))) == 3
    made.close()
    assert workers() == []


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
def test_a_chunk_that_a_worker_cannot_send_is_reported(pictures, monkeypatch, error, sentence):
    def refuse(tensor):
        raise error

    monkeypatch.setattr(torch.Tensor, "share_memory_", refuse)
    with pytest.raises(Failure, match=sentence):
        list(loader(pictures).images(steps()))


def test_a_chunk_that_the_queue_drops_does_not_block_training(pictures, monkeypatch):
    """The queue's own thread can't send it, after the worker has made it."""

    def unsent(made):
        failure = Failure("can't be pickled")
        failure.__dict__["part"] = lambda: None
        return failure

    monkeypatch.setattr(chunk_loader, "sent", unsent)
    with pytest.raises(Failure, match="a data worker was killed"):
        list(loader(pictures).images(steps()))


def test_workers_that_cannot_be_started_are_reported(pictures, monkeypatch):
    def no_fork():
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_fork)
    with pytest.raises(Failure, match=r"can't be used \(resource temporarily unavailable\): use --workers 0"):
        list(loader(pictures).images(steps()))


def test_a_bug_in_a_worker_keeps_its_traceback(pictures, monkeypatch):
    def broken(made):
        raise RuntimeError("a bug")

    monkeypatch.setattr(chunk_loader, "sent", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        list(loader(pictures).images(steps()))


def test_validation_batches_come_in_chunks_too(folder, monkeypatch):
    monkeypatch.setattr(chunk_loader, "SHARED_BYTES", 6 * 192 * 3)
    how = {"batch_size": 10, "device": "cpu"}
    found, expected = (list(eval_batches(folder.train, folder, workers=workers, **how)) for workers in (2, 0))
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.images, other.images)
