import numpy as np
import pytest
import torch

from peerdistill.data import Augmentation, DataConfig, Dataset, eval_batches, load_dataset, train_batches
from peerdistill.data.images.decode import open_picture
from peerdistill.data.images.preprocess import fit
from peerdistill.errors import UserError


@pytest.fixture
def arrays(make_npz) -> Dataset:
    file = make_npz()
    return load_dataset(DataConfig(f"npz:{file}", test=f"npz:{file}", validation=0.0))


@pytest.fixture
def folder(make_folder) -> Dataset:
    counts = {"train/ant": 9, "train/bee": 9, "test/ant": 3, "test/bee": 4}
    return load_dataset(DataConfig(str(make_folder(counts)), image_size=8, validation=0.0))


@pytest.fixture(params=["arrays", "folder without workers", "folder with 2 workers"])
def case(request) -> tuple[Dataset, int]:
    """A data set and the number of workers."""
    kind, _, workers = request.param.partition(" ")
    return request.getfixturevalue(kind), 2 if "2" in workers else 0


def batches_of(dataset, workers=0, *, batch_size=5, augmentation=None, seed=0):
    return train_batches(
        dataset.train,
        dataset,
        batch_size=batch_size,
        augmentation=augmentation,
        seed=seed,
        device="cpu",
        workers=workers,
    )


def assert_same(first, second) -> None:
    """Bitwise the same batches."""
    first, second = list(first), list(second)
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.images, other.images)


def normalised(pixels: torch.Tensor, dataset: Dataset) -> torch.Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (dataset.mean, dataset.std))
    return (pixels / 255 - mean) / std


def raw_pixels(split) -> torch.Tensor:
    """All images of a split as evaluation is to see them, in 0..255."""
    if hasattr(split, "images"):
        return split.images
    squares = [fit(open_picture(path), split.image_size, split.channels, split.crop) for path in split.paths]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


def test_training_batches_hold_the_images_and_labels_of_their_indices(case):
    dataset, workers = case
    expected = normalised(raw_pixels(dataset.train), dataset)
    batches = batches_of(dataset, workers)
    assert batches.steps_per_epoch == len(dataset.train) // 5
    seen = list(batches.epoch(0))
    assert len(seen) == batches.steps_per_epoch
    for batch in seen:
        assert batch.images.shape == (5, 3, 8, 8)
        assert torch.equal(batch.labels, dataset.train.labels[batch.indices])
        torch.testing.assert_close(batch.images, expected[batch.indices], rtol=1e-5, atol=1e-5)
    indices = torch.cat([batch.indices for batch in seen])
    assert len(indices.unique()) == len(indices)


def test_every_sample_of_an_epoch_once_when_the_batch_divides_it(arrays):
    indices = torch.cat([batch.indices for batch in batches_of(arrays, batch_size=8).epoch(0)])
    assert sorted(indices.tolist()) == list(range(40))


def test_order_changes_with_epoch_and_seed(arrays):
    def order(epoch, seed):
        return tuple(torch.cat([batch.indices for batch in batches_of(arrays, seed=seed).epoch(epoch)]).tolist())

    assert len({order(epoch, seed) for epoch in range(4) for seed in range(4)}) == 16
    assert order(0, 0) != tuple(range(40))


def test_augmentation_changes_with_epoch_and_seed(case):
    dataset, workers = case

    def by_row(epoch, seed):
        batches = list(batches_of(dataset, workers, augmentation=Augmentation(), seed=seed, batch_size=1).epoch(epoch))
        order = torch.cat([batch.indices for batch in batches]).argsort()
        return torch.cat([batch.images for batch in batches])[order]

    reference = by_row(0, 0)
    for other in (by_row(1, 0), by_row(0, 1)):
        assert (other != reference).flatten(1).any(1).float().mean() > 0.8


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_epoch_can_be_resumed_at_any_step(case, start):
    dataset, workers = case
    whole = list(batches_of(dataset, workers, augmentation=Augmentation(), seed=3).epoch(7))
    resumed = batches_of(dataset, workers, augmentation=Augmentation(), seed=3).epoch(7, start)
    assert_same(whole[start:], resumed)


def test_number_of_workers_plays_no_part(folder):
    augmentation = Augmentation()
    alone, helped = (batches_of(folder, workers, augmentation=augmentation) for workers in (0, 2))
    for epoch in range(2):
        assert_same(alone.epoch(epoch), helped.epoch(epoch))


def test_global_random_state_is_neither_read_nor_changed(case):
    dataset, workers = case
    torch.manual_seed(1)
    np.random.seed(1)
    state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first = list(batches_of(dataset, workers, augmentation=Augmentation()).epoch(0))
    list(eval_batches(dataset.test, dataset, batch_size=3, device="cpu", workers=workers))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    torch.manual_seed(2)
    assert_same(first, batches_of(dataset, workers, augmentation=Augmentation()).epoch(0))


def test_epoch_left_early_does_not_disturb_the_next(case):
    dataset, workers = case
    batches = batches_of(dataset, workers, augmentation=Augmentation())
    next(batches.epoch(0))
    assert_same(batches.epoch(1), batches_of(dataset, workers, augmentation=Augmentation()).epoch(1))


def test_two_epochs_at_once_are_refused_for_folders(folder):
    batches = batches_of(folder)
    first = batches.epoch(0)
    next(first)
    next(batches.epoch(1))
    with pytest.raises(AssertionError, match="started before the previous one ended"):
        next(first)


@pytest.mark.parametrize("batch_size", [0, -1, 41])
def test_batch_that_does_not_fit(arrays, batch_size):
    with pytest.raises(UserError) as error:
        batches_of(arrays, batch_size=batch_size)
    assert str(error.value) == (f"batch_size must be from 1 to 40, the number of training images, found {batch_size}")


def test_largest_batch_is_the_whole_split(arrays):
    assert batches_of(arrays, batch_size=40).steps_per_epoch == 1


def test_evaluation_sees_all_samples_in_order_and_again(case):
    dataset, workers = case
    batches = eval_batches(dataset.test, dataset, batch_size=3, device="cpu", workers=workers)
    samples = len(dataset.test)
    first = list(batches)
    assert len(first) == len(batches) == -(-samples // 3)
    assert torch.cat([batch.indices for batch in first]).tolist() == list(range(samples))
    assert torch.equal(torch.cat([batch.labels for batch in first]), dataset.test.labels)
    expected = normalised(raw_pixels(dataset.test), dataset)
    torch.testing.assert_close(torch.cat([batch.images for batch in first]), expected, rtol=1e-5, atol=1e-5)
    assert_same(first, batches)


def test_evaluation_batch_must_hold_something(arrays):
    with pytest.raises(UserError, match="batch_size must be at least 1, found 0"):
        eval_batches(arrays.test, arrays, batch_size=0, device="cpu", workers=0)


def test_images_do_not_depend_on_their_batch(arrays):
    alone, together = (
        torch.cat([b.images for b in eval_batches(arrays.test, arrays, batch_size=n, device="cpu", workers=0)])
        for n in (1, 40)
    )
    assert torch.equal(alone, together)
