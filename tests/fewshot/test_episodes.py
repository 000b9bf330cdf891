import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peerdistill.data import Augmentation
from peerdistill.errors import UserError
from peerdistill.fewshot import ClassSplit, EpisodeBatches, EpisodeSampler, EpisodeShape, evaluation_episodes
from peerdistill.rng import Draws, keyed_generator

STILL = Augmentation(crop_padding=0, flip=False)


def split_of(sizes: list[int]) -> ClassSplit:
    """Classes of different sizes; every image shows its own row."""
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    images = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4)
    return ClassSplit(images, labels, tuple(f"class{number}" for number in range(len(sizes))))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(3, 9), min_size=2, max_size=8), st.integers(1, 2), st.integers(0, 1000), st.data())
def test_an_episode_shows_different_images_of_different_classes(sizes, shots, seed, data):
    split = split_of(sizes)
    shape = EpisodeShape(data.draw(st.integers(2, len(sizes))), shots, min(sizes) - shots)
    drawn = EpisodeSampler(split, shape).draw(7, torch.Generator().manual_seed(seed))
    assert drawn.classes.shape == (7, shape.ways)
    assert drawn.support.shape == (7, shape.ways, shape.shots)
    assert drawn.query.shape == (7, shape.ways, shape.queries)
    for classes, rows in zip(drawn.classes, drawn.rows, strict=True):
        assert len(classes.unique()) == shape.ways
        assert len(rows.unique()) == shape.images
        assert torch.equal(split.labels[rows], classes[:, None].expand_as(rows))


def test_classes_and_images_are_drawn_evenly_into_every_place():
    sizes = [5, 4, 8, 6]
    split = split_of(sizes)
    episodes = 12_000
    drawn = EpisodeSampler(split, EpisodeShape(2, 1, 2)).draw(episodes, torch.Generator().manual_seed(1))
    for way in range(2):
        counts = torch.bincount(drawn.classes[:, way], minlength=4)
        assert chi_square(counts, [episodes / 4] * 4) < 21.1  # 3 degrees of freedom, p = 0.0001
    for rows in (drawn.support[..., 0], drawn.query[..., 0], drawn.query[..., 1]):
        counts = torch.bincount(rows.flatten(), minlength=sum(sizes))
        expected = [episodes * 2 / 4 / size for size in sizes for _ in range(size)]
        assert chi_square(counts, expected) < 56.0  # 22 degrees of freedom, p = 0.0001


def chi_square(counts: torch.Tensor, expected: list[float]) -> float:
    return float(sum((count - e) ** 2 / e for count, e in zip(counts.tolist(), expected, strict=True)))


def test_every_choice_of_classes_is_as_likely_as_every_other():
    drawn = EpisodeSampler(split_of([3] * 4), EpisodeShape(2, 1, 1)).draw(9_000, torch.Generator().manual_seed(2))
    pairs = torch.bincount(drawn.classes.sort(1).values @ torch.tensor([4, 1]), minlength=16)
    seen = pairs[pairs > 0]
    assert len(seen) == 6
    assert chi_square(seen, [1500.0] * 6) < 25.7  # 5 degrees of freedom, p = 0.0001


def test_the_episodes_of_a_seed_are_the_same_and_fewer_are_the_first_of_them():
    split = split_of([9] * 12)
    of_seed = evaluation_episodes(EpisodeSampler(split, EpisodeShape(5, 1, 3)), 250, seed=4)
    again = evaluation_episodes(EpisodeSampler(split, EpisodeShape(5, 1, 3)), 130, seed=4)
    other = evaluation_episodes(EpisodeSampler(split, EpisodeShape(5, 1, 3)), 250, seed=5)
    assert len(of_seed.classes) == 250
    for whole, part, different in zip(of_seed, again, other, strict=True):
        assert torch.equal(whole[:130], part)
        assert not torch.equal(whole, different)
    assert len(of_seed.rows.flatten(1).unique(dim=0)) == 250


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        (
            EpisodeShape(5, 1, 1),
            "ways is 5 in validation episodes, but there are only 4 validation classes: choose fewer ways",
        ),
        (
            EpisodeShape(2, 1, 4),
            "validation episodes need 5 images per class (shots 1, queries 4), but class 'class1' has only 4",
        ),
    ],
)
def test_more_than_there_is_can_not_be_drawn(shape, sentence):
    with pytest.raises(UserError) as error:
        EpisodeSampler(split_of([5, 4, 8, 6]), shape, "validation")
    assert str(error.value) == sentence


class TestBatches:
    SHAPE = EpisodeShape(3, 2, 2)

    def batches(self, digits, normaliser, augmentation=STILL, seed=0) -> EpisodeBatches:
        sampler = EpisodeSampler(digits.train, self.SHAPE)
        return EpisodeBatches(
            digits.train,
            sampler,
            normaliser,
            episodes_per_epoch=4,
            augmentation=augmentation,
            seed=seed,
            device=torch.device("cpu"),
        )

    def test_a_batch_is_an_episode_class_by_class(self, digits, normaliser):
        batches = self.batches(digits, normaliser)
        assert batches.steps_per_epoch == 4
        for batch in batches.epoch(0):
            assert batch.images.shape == (12, 1, 16, 16)
            assert len(batch.indices.unique()) == 12
            assert torch.equal(batch.labels, digits.train.labels[batch.indices])
            blocks = batch.labels.view(3, 4)
            assert torch.equal(blocks, blocks[:, :1].expand(3, 4))
            assert len(blocks[:, 0].unique()) == 3

    def test_pixels_are_normalised(self, digits, normaliser):
        batch = next(self.batches(digits, normaliser).epoch(0))
        pixels = digits.train.images[batch.indices] / 255
        expected = (pixels - digits.mean[0]) / digits.std[0]
        torch.testing.assert_close(batch.images, expected, rtol=1e-5, atol=1e-5)

    def test_an_epoch_goes_on_where_it_was_left(self, digits, normaliser):
        varied = Augmentation(crop_padding=2, flip=True)
        whole = list(self.batches(digits, normaliser, varied).epoch(3))
        rest = list(self.batches(digits, normaliser, varied).epoch(3, start=2))
        assert len(whole) == 4
        for expected, found in zip(whole[2:], rest, strict=True):
            assert torch.equal(found.images, expected.images)
            assert torch.equal(found.indices, expected.indices)

    def test_epochs_steps_and_seeds_differ(self, digits, normaliser):
        batches, other = self.batches(digits, normaliser), self.batches(digits, normaliser, seed=1)
        drawn = [batch.indices.tolist() for epochs in (batches, other) for n in (0, 1) for batch in epochs.epoch(n)]
        assert len({tuple(rows) for rows in drawn}) == 16

    def test_images_are_varied_as_asked_for(self, digits, normaliser):
        plain = next(self.batches(digits, normaliser).epoch(0))
        varied = next(self.batches(digits, normaliser, Augmentation(crop_padding=2, flip=True)).epoch(0))
        assert torch.equal(varied.indices, plain.indices)
        assert not torch.equal(varied.images, plain.images)

    def test_the_caller_s_random_numbers_are_left_alone(self, digits, normaliser):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        next(self.batches(digits, normaliser).epoch(0))
        assert torch.equal(torch.get_rng_state(), before)


def test_draws_of_training_and_exams_are_unrelated():
    sampler = EpisodeSampler(split_of([9] * 12), EpisodeShape(5, 1, 3))
    exam = evaluation_episodes(sampler, 1, seed=0)
    training = sampler.draw(1, keyed_generator(Draws.TRAINING_EPISODES, 0, 0, 0))
    assert not np.array_equal(exam.rows.numpy(), training.rows.numpy())
