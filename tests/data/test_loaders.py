"""Which images workers make, and that they make the same ones."""

import multiprocessing

import pytest
import torch

from peerdistill.data import Augmentation, DataConfig, load_dataset, loaders
from peerdistill.data.array_images import ArrayImages
from peerdistill.data.chunk_loader import ChunkLoader
from peerdistill.data.dataset import ArraySplit
from peerdistill.data.loaders import image_loader
from peerdistill.data.step import Step
from peerdistill.shares import Share

CPU, OTHER = torch.device("cpu"), torch.device("meta")
CROPPED = Augmentation(crop_padding=2)
CHANGED = Augmentation(crop_padding=2, augment="randaugment", color_jitter=0.4)


@pytest.fixture
def split(make_npz) -> ArraySplit:
    train = load_dataset(DataConfig(f"npz:{make_npz()}", validation=0.0)).train
    assert isinstance(train, ArraySplit)
    return train


def steps(share: Share | None = None) -> list[Step]:
    """Three batches of 9 images, some of which are drawn twice."""
    rows = torch.randint(0, 32, (27,), generator=torch.Generator().manual_seed(1)).split(9)
    earlier = torch.arange(27).remainder(2).split(9)
    loaded = None if share is None else share.positions(9)
    return [Step(2, *parts, loaded) for parts in zip(range(3), rows, earlier, strict=True)]


def changed(split: ArraySplit, workers: int, of: list[Step]) -> list[torch.Tensor]:
    """The batches of so many workers, on a CPU as on a GPU."""
    loader = ChunkLoader(ArrayImages(split, CHANGED, seed=3), CPU, workers)
    batches = [images.clone() for images in loader.images(of)]
    loader.close()
    return batches


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
@pytest.mark.parametrize("workers", [1, 3])
def test_number_of_workers_plays_no_part_for_arrays(split, workers):
    alone = changed(split, 0, steps())
    assert all(map(torch.equal, changed(split, workers, steps()), alone))
    assert all(map(torch.equal, changed(split, workers, steps()[1:]), alone[1:]))


@pytest.mark.parametrize("workers", [0, 2])
def test_shares_of_several_processes_make_up_the_batches_of_arrays(split, workers):
    shares = [changed(split, workers, steps(Share(index, 2))) for index in range(2)]
    for whole, *parts in zip(changed(split, 0, steps()), *shares, strict=True):
        assert len(parts[0]) in (4, 5)
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize(
    ("device", "augmentation", "expected"),
    [(OTHER, CHANGED, 2), (CPU, CHANGED, 0), (OTHER, CROPPED, 0), (OTHER, None, 0)],
)
def test_workers_change_arrays_unless_the_cpu_trains(split, device, augmentation, expected):
    loader = image_loader(split, augmentation, 0, device, workers=2)
    images = loader.images(steps())
    assert next(images).shape == (9, 3, 8, 8)
    assert len(multiprocessing.active_children()) == expected
    del images
    loader.close()
    assert multiprocessing.active_children() == []


def test_a_cpu_gets_the_images_that_workers_make(split):
    found = image_loader(split, CHANGED, 3, CPU, workers=2).images(steps())
    assert all(map(torch.equal, found, changed(split, 2, steps())))


@pytest.mark.parametrize(
    ("device", "cores", "expected"), [(CPU, 1, 1), (CPU, 64, 2), (OTHER, 1, 1), (OTHER, 4, 3), (OTHER, 64, 8)]
)
def test_default_number_of_workers_follows_from_the_cores(monkeypatch, device, cores, expected):
    monkeypatch.setattr(loaders, "own_cores", lambda: cores)
    assert loaders.workers_for(device) == expected


def test_default_number_of_workers_is_used(monkeypatch, split):
    monkeypatch.setattr(loaders, "own_cores", lambda: 3)
    loader = image_loader(split, CHANGED, 0, OTHER, workers=None)
    images = loader.images(steps())
    assert next(images).shape == (9, 3, 8, 8)
    assert len(multiprocessing.active_children()) == 2
    del images
    loader.close()
