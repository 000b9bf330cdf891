import pytest
import torch
from torchvision.transforms import v2

from peerdistill.data import Augmentation
from peerdistill.data.augmentation.pixels import PixelChanges
from peerdistill.data.step import Occurrence
from peerdistill.rng import Draws, keyed_seed

SEED = 5
JITTER = v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)


def noise(channels: int = 3, size: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (channels, size, size), dtype=torch.uint8, generator=generator)


def drawn(transform, image: torch.Tensor, occurrence: Occurrence) -> torch.Tensor:
    """The library's result with the documented seed."""
    with torch.random.fork_rng():
        torch.manual_seed(keyed_seed(Draws.PIXELS, SEED, *occurrence))
        return transform(image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("options", "transform"),
    [
        ({"augment": "randaugment"}, v2.RandAugment()),
        ({"augment": "trivialaugment"}, v2.TrivialAugmentWide()),
        ({"color_jitter": 0.4}, JITTER),
        ({"augment": "randaugment", "color_jitter": 0.4}, v2.Compose([v2.RandAugment(), JITTER])),
    ],
)
def test_changes_are_torchvisions(options, transform, channels):
    changes, image = PixelChanges(Augmentation(**options), SEED), noise(channels)
    changed = 0
    for row in range(12):
        occurrence = Occurrence(2, row, row % 2)
        [found] = changes([image], [occurrence])
        assert torch.equal(found, drawn(transform, image, occurrence))
        changed += not torch.equal(found, image)
    assert changed >= (6 if channels == 3 else 3)  # saturation changes nothing in grey images
    assert torch.equal(image, noise(channels))


def test_each_occurrence_has_its_own_changes():
    changes, image = PixelChanges(Augmentation(color_jitter=1.0), SEED), noise(size=8)
    occurrences = [Occurrence(*key) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]]
    found = changes([image] * 4, occurrences)
    other = PixelChanges(Augmentation(color_jitter=1.0), SEED + 1)([image], occurrences[:1])
    assert len({changed.numpy().tobytes() for changed in (*found, *other)}) == 5


def test_changes_do_not_depend_on_the_images_before():
    changes, image = PixelChanges(Augmentation(augment="randaugment", color_jitter=1.0), SEED), noise(size=8)
    occurrences = [Occurrence(0, row, 0) for row in range(6)]
    alone = [changes([image], [occurrence])[0] for occurrence in occurrences]
    assert torch.equal(changes([image] * 6, occurrences), torch.stack(alone))


def test_nothing_is_on_by_default():
    assert not Augmentation().changes_pixels
    assert Augmentation(color_jitter=0.1).changes_pixels
    assert Augmentation(augment="randaugment").changes_pixels
    assert torch.equal(PixelChanges(Augmentation(), SEED)([noise()], [Occurrence(0, 0, 0)])[0], noise())
