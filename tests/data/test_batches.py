import random

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from peerdistill.data import (
    Augmentation,
    DataConfig,
    Dataset,
    MixConfig,
    eval_batches,
    load_dataset,
    train_batches,
)
from peerdistill.data.config import SamplerName
from peerdistill.data.images.decode import open_picture
from peerdistill.data.images.preprocess import fit
from peerdistill.errors import UserError
from peerdistill.rng import Draws, keyed_seed
from peerdistill.shares import WHOLE, Share

EVERYTHING = Augmentation(
    augment="randaugment", color_jitter=0.4, erasing=0.5, mix=MixConfig(mixup=0.4, cutmix=1.0, share=0.6)
)


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


def batches_of(
    dataset, workers=0, *, batch_size=5, augmentation=None, seed=0, sampler: SamplerName = "shuffle", share=WHOLE
):
    return train_batches(
        dataset.train,
        dataset,
        batch_size=batch_size,
        augmentation=augmentation,
        seed=seed,
        device="cpu",
        workers=workers,
        sampler=sampler,
        share=share,
    )


def assert_same(first, second) -> None:
    """Bitwise the same batches."""
    first, second = list(first), list(second)
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.indices, other.indices)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.images, other.images)
        assert (one.targets is None) == (other.targets is None)
        assert one.targets is None or torch.equal(one.targets, other.targets)


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


def test_epoch_with_every_augmentation_can_be_resumed(case):
    dataset, workers = case
    options = {"augmentation": EVERYTHING, "seed": 3, "sampler": "balanced"}
    whole = list(batches_of(dataset, workers, **options).epoch(7))
    assert_same(whole[2:], batches_of(dataset, workers, **options).epoch(7, 2))


@pytest.mark.parametrize(("augmentation", "sampler"), [(Augmentation(), "shuffle"), (EVERYTHING, "balanced")])
def test_number_of_workers_plays_no_part(folder, augmentation, sampler):
    alone, helped = (batches_of(folder, n, augmentation=augmentation, sampler=sampler) for n in (0, 2))
    for epoch in range(2):
        assert_same(alone.epoch(epoch), helped.epoch(epoch))


@pytest.mark.parametrize("augmentation", [None, Augmentation(crop_padding=1, flip=True), EVERYTHING])
@pytest.mark.parametrize("processes", [2, 3])
def test_the_shares_of_several_processes_make_up_the_batches_of_one(case, augmentation, processes):
    dataset, workers = case
    whole = list(batches_of(dataset, workers, batch_size=7, augmentation=augmentation).epoch(1))
    shares = [
        batches_of(dataset, workers, batch_size=7, augmentation=augmentation, share=Share(index, processes)).epoch(1)
        for index in range(processes)
    ]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert {len(part.images) for part in parts} <= {7 // processes, 7 // processes + 1}
        assert torch.equal(torch.cat([part.images for part in parts]), batch.images)
        for part in parts:
            assert torch.equal(part.labels, batch.labels)
            assert torch.equal(part.indices, batch.indices)
            assert (part.targets is None) == (batch.targets is None)
            assert part.targets is None or torch.equal(part.targets, batch.targets)


@pytest.mark.parametrize("name", ["arrays", "folder"])
def test_an_image_that_is_drawn_again_is_augmented_anew(request, name):
    dataset = request.getfixturevalue(name)
    for augmentation in (Augmentation(), Augmentation(crop_padding=0, flip=False, min_scale=1.0, color_jitter=1.0)):
        batches = list(batches_of(dataset, augmentation=augmentation, sampler="balanced").epoch(0))
        rows, images = (torch.cat([getattr(batch, of) for batch in batches]) for of in ("indices", "images"))
        row = rows.mode().values
        views = images[rows == row]
        assert len(views) > 1
        assert len({view.numpy().tobytes() for view in views}) == len(views)


@pytest.mark.parametrize("source", ["arrays", "folder"])
def test_changes_of_pixels_come_after_the_crop(request, source):
    dataset = request.getfixturevalue(source)
    mean, std = (torch.tensor(values)[:, None, None] for values in (dataset.mean, dataset.std))
    changed, cropped = (
        batches_of(dataset, augmentation=Augmentation(augment=name), seed=2).epoch(1)
        for name in ("trivialaugment", "none")
    )
    for batch, before in zip(changed, cropped, strict=True):
        pixels = ((before.images * std + mean) * 255).round().to(torch.uint8)
        expected = []
        for image, row in zip(pixels, batch.indices.tolist(), strict=True):
            with torch.random.fork_rng():
                torch.manual_seed(keyed_seed(Draws.PIXELS, 2, 1, row, 0))
                expected.append(v2.TrivialAugmentWide()(image))
        torch.testing.assert_close(batch.images, normalised(torch.stack(expected), dataset), rtol=1e-5, atol=1e-5)


def test_images_are_erased_before_they_are_mixed(arrays):
    mix = MixConfig(mixup=0.4)
    both, erased = (
        next(batches_of(arrays, augmentation=Augmentation(erasing=1.0, mix=one), batch_size=8).epoch(0))
        for one in (mix, MixConfig())
    )
    own, other = erased.images[:4], erased.images[:4].roll(1, 0)
    assert both.targets is not None
    weight = both.targets.gather(1, both.labels[:4, None])[0]
    assert both.labels[0] != both.labels[3]
    torch.testing.assert_close(both.images[:4], weight * own + (1 - weight) * other)
    assert torch.equal(both.images[4:], erased.images[4:])


@pytest.mark.parametrize("augmentation", [Augmentation(), EVERYTHING], ids=["default", "everything"])
def test_global_random_state_is_neither_read_nor_changed(case, augmentation):
    dataset, workers = case
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first = list(batches_of(dataset, workers, augmentation=augmentation).epoch(0))
    list(eval_batches(dataset.test, dataset, batch_size=3, device="cpu", workers=workers))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    torch.manual_seed(2)
    random.seed(2)
    assert_same(first, batches_of(dataset, workers, augmentation=augmentation).epoch(0))


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
