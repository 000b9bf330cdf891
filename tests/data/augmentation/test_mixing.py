import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from torch.nn.functional import one_hot
from torchvision.transforms import v2

from peerdistill.data import Augmentation, Batch, DataConfig, Dataset, MixConfig, load_dataset, train_batches
from peerdistill.errors import UserError
from peerdistill.rng import Draws, keyed_seed

BATCH, CLASSES = 16, 10


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(DataConfig("digits"))


def batches(digits, mix, *, seed=0, epoch=0, start=0, batch_size=BATCH):
    augmentation = Augmentation(mix=mix)
    options = {"batch_size": batch_size, "augmentation": augmentation, "seed": seed, "device": "cpu", "workers": 0}
    return train_batches(digits.train, digits, **options).epoch(epoch, start)


def pairs(digits, mix, count, **options):
    """Batches with mixed images beside the same ones without."""
    mixed, clean = batches(digits, mix, **options), batches(digits, MixConfig(), **options)
    return [(next(mixed), next(clean)) for _ in range(count)]


def targets_of(batch: Batch) -> torch.Tensor:
    assert batch.targets is not None
    return batch.targets


def weights_of_own_image(batch: Batch) -> list[float]:
    """The weight of its own class in every distribution, of samples whose partner has another class."""
    labels = batch.labels[: len(targets_of(batch))]
    own = targets_of(batch).gather(1, labels[:, None])[:, 0]
    return own[labels != labels.roll(1)].tolist()


@given(
    share=st.floats(0.1, 1.0),
    batch_size=st.integers(20, 40),
    alpha=st.floats(0.1, 10),
    kind=st.sampled_from(["mixup", "cutmix"]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=30, deadline=None)
def test_only_the_first_share_is_mixed_and_targets_are_distributions(digits, share, batch_size, alpha, kind, seed):
    mix = MixConfig(share=share, **{kind: alpha})
    [(batch, clean)] = pairs(digits, mix, 1, batch_size=batch_size, seed=seed)
    mixed = round(share * batch_size)
    assert targets_of(batch).shape == (mixed, CLASSES)
    torch.testing.assert_close(targets_of(batch).sum(1), torch.ones(mixed))
    assert (targets_of(batch) >= 0).all()
    assert torch.equal(batch.images[mixed:], clean.images[mixed:])
    assert torch.equal(batch.labels, clean.labels)
    assert torch.equal(batch.indices, clean.indices)
    assert clean.targets is None


def test_mixup_is_the_weighted_mean_of_pixels_and_labels(digits):
    for batch, clean in pairs(digits, MixConfig(mixup=1.0, share=0.5), 5):
        own, other = clean.images[:8], clean.images[:8].roll(1, 0)
        labels = one_hot(clean.labels[:8], CLASSES)
        weight = weights_of_own_image(batch)[0]
        torch.testing.assert_close(batch.images[:8], weight * own + (1 - weight) * other)
        torch.testing.assert_close(targets_of(batch), weight * labels + (1 - weight) * labels.roll(1, 0))


def test_cutmix_pastes_one_rectangle_and_weighs_labels_by_area(digits):
    areas = []
    for batch, clean in pairs(digits, MixConfig(cutmix=1.0, share=1.0), 20):
        own, other = clean.images, clean.images.roll(1, 0)
        differs = own != other
        is_pasted = ((batch.images == other) & differs).any(0).any(0)
        rows, columns = is_pasted.any(1).nonzero(), is_pasted.any(0).nonzero()
        if not len(rows):
            continue
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        expected = own.clone()
        expected[..., box[0], box[1]] = other[..., box[0], box[1]]
        assert torch.equal(batch.images, expected)
        area = (box[0].stop - box[0].start) * (box[1].stop - box[1].start) / own[0, 0].numel()
        labels = one_hot(clean.labels, CLASSES)
        torch.testing.assert_close(targets_of(batch), (1 - area) * labels + area * labels.roll(1, 0))
        areas.append(float(area))
    assert len(set(areas)) > 5


@pytest.mark.parametrize(
    ("mix", "transform"),
    [
        (MixConfig(mixup=0.4), v2.MixUp(alpha=0.4, num_classes=CLASSES)),
        (MixConfig(cutmix=0.7, share=0.75), v2.CutMix(alpha=0.7, num_classes=CLASSES)),
    ],
)
def test_mixing_is_torchvisions(digits, mix, transform):
    for step, (batch, clean) in enumerate(pairs(digits, mix, 4, seed=3, epoch=2)):
        mixed = round(mix.share * BATCH)
        with torch.random.fork_rng():
            torch.manual_seed(keyed_seed(Draws.MIXING, 3, 2, step))
            images, targets = transform(clean.images[:mixed], clean.labels[:mixed])
        assert torch.equal(batch.images[:mixed], images)
        assert torch.equal(targets_of(batch), targets)


def test_the_weight_of_mixup_has_a_beta_distribution(digits):
    drawn = [weights_of_own_image(batch)[0] for batch, _ in pairs(digits, MixConfig(mixup=0.5), 60)]
    assert kstest(drawn, "beta", args=(0.5, 0.5)).pvalue > 0.01


def test_with_both_each_batch_has_one_of_them(digits):
    kinds = []
    for batch, clean in pairs(digits, MixConfig(mixup=1.0, cutmix=1.0, share=1.0), 60):
        same = (batch.images == clean.images) | (batch.images == clean.images.roll(1, 0))
        kinds.append("cutmix" if same.all() else "mixup")
    assert 18 < kinds.count("mixup") < 42  # 30 expected, standard deviation 3.9


def test_draws_depend_on_seed_epoch_and_step_alone(digits):
    mix = MixConfig(mixup=1.0)

    def weight(**position):
        return weights_of_own_image(next(batches(digits, mix, **position)))[0]

    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    positions = [
        {"seed": seed, "epoch": epoch, "start": start} for seed in (0, 1) for epoch in (0, 1) for start in (0, 1)
    ]
    assert len({weight(**position) for position in positions}) == len(positions)
    whole = list(batches(digits, mix, epoch=1))
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    for expected, found in zip(whole[5:], batches(digits, mix, epoch=1, start=5), strict=True):
        assert torch.equal(found.images, expected.images)
        assert torch.equal(targets_of(found), targets_of(expected))


@pytest.mark.parametrize("alpha", [1e-30, 1e-6, 1000.0])
def test_extreme_alphas_give_distributions(digits, alpha):
    for batch, _ in pairs(digits, MixConfig(mixup=alpha, cutmix=alpha), 4):
        assert np.isfinite(batch.images.numpy()).all()
        torch.testing.assert_close(targets_of(batch).sum(1), torch.ones(8))


def test_a_share_that_mixes_fewer_than_two_images_is_refused(digits):
    with pytest.raises(UserError) as error:
        batches(digits, MixConfig(mixup=1.0, share=0.05))
    assert str(error.value) == (
        "mix.share of 0.05 mixes 1 of 16 images per batch, but at least 2 are needed: raise mix.share or batch_size"
    )
