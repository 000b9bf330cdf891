from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chi2_contingency, chisquare
from torchvision import transforms
from torchvision.transforms import functional

from peerdistill.data import Augmentation
from peerdistill.data.augmentation import crops as module
from peerdistill.data.augmentation.crops import RandomCrops, random_resized_square
from support import photos


def possible_views(image: np.ndarray, padding: int) -> dict[bytes, tuple[int, int, bool]]:
    """Every crop of the image with a black border, by its pixels: one sample at a time, by slicing."""
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 2 * padding, width + 2 * padding), np.uint8)
    padded[:, padding : padding + height, padding : padding + width] = image
    views = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = padded[:, top : top + height, left : left + width]
            views[crop.tobytes()] = (top, left, False)
            views[crop[:, :, ::-1].tobytes()] = (top, left, True)
    return views


def fetched(images: torch.Tensor, padding: int, flip: bool, seed: int = 0) -> torch.Tensor:
    """All images, each varied."""
    crops = RandomCrops(images, padding, flip)
    return crops.fetch(torch.arange(len(images)), crops.draw(len(images), torch.Generator().manual_seed(seed)))


def drawn_views(images: torch.Tensor, padding: int, flip: bool, seed: int = 0) -> list[tuple[int, int, bool]]:
    """Which view of its image each result is; a result that is none of them is a KeyError."""
    results = fetched(images, padding, flip, seed)
    assert results.is_contiguous()
    pairs = zip(images.numpy(), results.numpy(), strict=True)
    return [possible_views(image, padding)[result.tobytes()] for image, result in pairs]


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@given(
    batch=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    height=st.integers(4, 9),
    width=st.integers(4, 9),
    padding=st.integers(0, 3),
    flip=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_every_result_is_a_crop_of_its_own_image(batch, channels, height, width, padding, flip):
    views = drawn_views(noise(batch, channels, height, width), padding, flip)
    assert flip or not any(mirrored for _, _, mirrored in views)


def test_all_shifts_and_both_directions_are_drawn_evenly():
    views = Counter(drawn_views(noise(1, 1, 6, 6).expand(5000, 1, 6, 6), padding=1, flip=True))
    assert len(views) == 3 * 3 * 2
    # 5000 / 18 = 278 each, standard deviation 16
    assert all(200 < count < 360 for count in views.values())


def test_shift_and_direction_are_drawn_for_each_image():
    views = drawn_views(noise(64, 3, 8, 8), padding=4, flip=True)
    assert len(set(views)) > 30


def test_without_padding_and_flip_nothing_changes():
    images = noise(4, 3, 8, 8)
    assert torch.equal(fetched(images, 0, False), images)


def test_generator_decides():
    images = noise(64, 3, 8, 8)
    assert drawn_views(images, 4, True, seed=1) == drawn_views(images, 4, True, seed=1)
    assert drawn_views(images, 4, True, seed=1) != drawn_views(images, 4, True, seed=2)


def torchvisions_crop(image: torch.Tensor, padding: int, top: int, left: int, mirrored: bool) -> torch.Tensor:
    """The crop at a place that torchvision's RandomCrop and RandomHorizontalFlip may draw, as they make it."""
    height, width = image.shape[1:]
    crop = functional.crop(functional.pad(image, [padding]), top, left, height, width)
    return functional.hflip(crop) if mirrored else crop


def test_every_crop_is_torchvisions_and_all_are_drawn_as_often():
    image, padding, draws = noise(1, 3, 32, 32)[0], 4, 20_000
    places = list(product(range(9), range(9), (False, True)))
    place_of = {torchvisions_crop(image, padding, *place).numpy().tobytes(): place for place in places}
    assert len(place_of) == len(places)
    crops = RandomCrops(image[None], padding, flip=True)
    generator = torch.Generator().manual_seed(0)
    ours = Counter(
        place_of[crop.numpy().tobytes()]
        for _ in range(draws // 500)
        for crop in crops.fetch(torch.zeros(500, dtype=torch.long), crops.draw(500, generator))
    )
    stock = transforms.Compose([transforms.RandomCrop(32, padding=padding), transforms.RandomHorizontalFlip()])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = Counter(place_of[stock(image).numpy().tobytes()] for _ in range(draws))
    counts = np.array([[drawn[place] for place in places] for drawn in (ours, theirs)])
    assert chi2_contingency(counts).pvalue > 0.01
    assert chisquare(counts[0]).pvalue > 0.01


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("padding", [0, 3])
def test_host_and_device_fetch_the_same(monkeypatch, padding, flip):
    images = noise(40, 3, 8, 9)
    on_host = fetched(images, padding, flip)
    monkeypatch.setattr(module, "_fetch_on_host", module._fetch_on_device)
    assert torch.equal(fetched(images, padding, flip), on_host)


def ramps(width: int, height: int) -> np.ndarray:
    """Red grows from left to right, green from top to bottom, one level a pixel."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.arange(width)
    pixels[..., 1] = np.arange(height)[:, None]
    return pixels


def measured_part(square: torch.Tensor) -> tuple[float, float]:
    """Signed width and height, in pixels of the ramps, that the square shows (away from its edges)."""
    size = square.shape[1]
    red, green = square[0, size // 2, :].double().numpy(), square[1, :, size // 2].double().numpy()
    return tuple((line[-3] - line[2]) / (size - 5) * size for line in (red, green))


@pytest.mark.parametrize("min_scale", [0.08, 0.5])
def test_random_part_has_the_stated_area_and_shape(min_scale):
    picture = ramps(200, 160)
    augmentation = Augmentation(min_scale=min_scale)
    parts = [measured_part(random_resized_square(picture, 32, augmentation, seed)) for seed in range(300)]
    width, height = np.array(parts).T
    area = np.abs(width) * height / (200 * 160)
    # Whole levels at both ends: a pixel or so of error in 40 and more.
    assert area.min() > min_scale * 0.9
    assert area.max() < 1.05
    assert area.min() < min_scale + 0.1
    assert area.max() > 0.85
    shape = np.abs(width) / height
    assert 0.7 < shape.min() < 0.8
    assert 1.25 < shape.max() < 1.45
    assert 110 < (width < 0).sum() < 190  # mirrored: 150 expected, standard deviation 8.7
    assert (height > 0).all()


def test_the_part_is_resized_with_the_filter():
    # A scale of 1 and this shape leave only the whole picture.
    pixels = photos.noise(0, 40, 40)
    whole = Augmentation(flip=False, min_scale=1.0)
    for name in ("bilinear", "bicubic"):
        by_pillow = Image.fromarray(pixels).resize((16, 16), Image.Resampling[name.upper()])
        found = random_resized_square(pixels, 16, whole, 0, name).permute(1, 2, 0).numpy().astype(int)
        assert np.abs(found - np.asarray(by_pillow)).max() <= 1


def test_no_mirroring_without_flip():
    augmentation = Augmentation(flip=False)
    parts = [measured_part(random_resized_square(ramps(99, 99), 32, augmentation, seed)) for seed in range(40)]
    assert all(width > 0 for width, _ in parts)


def test_the_seed_decides_and_the_global_state_is_unchanged():
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = random_resized_square(ramps(99, 99), 16, Augmentation(), seed=5)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first, random_resized_square(ramps(99, 99), 16, Augmentation(), seed=5))
    assert not torch.equal(first, random_resized_square(ramps(99, 99), 16, Augmentation(), seed=6))


@pytest.mark.parametrize("extent", [(1, 1), (1, 5000), (5000, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_strips_of_any_length(extent, channels):
    white = np.full((*extent, channels), 255, np.uint8)
    square = random_resized_square(white, 24, Augmentation(), seed=0)
    assert square.shape == (channels, 24, 24)
    assert (square == 255).all()
