import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from peerdistill.data.images.preprocess import Resized, fit
from support import photos

RED = (255, 0, 0)


def test_resized_pictures_are_reduced_and_never_enlarged():
    picture = Image.fromarray(photos.noise(0, 20, 30))
    assert np.array_equal(Resized(20, 3)(picture), np.asarray(picture))
    for name in ("bilinear", "bicubic"):
        by_pillow = np.asarray(picture.resize((18, 12), Image.Resampling[name.upper()]))
        assert np.abs(Resized(12, 3, name)(picture).astype(int) - by_pillow).max() <= 1


def test_fit_keeps_a_picture_of_the_size(noise):
    square = noise[:5, :5]
    assert np.array_equal(fit(Image.fromarray(square), 5, 3, crop=1.0), square)
    grey = square[..., :1]
    assert np.array_equal(fit(Image.fromarray(grey.repeat(3, axis=2)), 5, 1, crop=1.0), grey)


@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.integers(8, 48),
    crop=st.sampled_from([1.0, 0.875, 0.9, 0.5]),
    interpolation=st.sampled_from(["bilinear", "bicubic"]),
)
@settings(max_examples=60, deadline=None)
def test_fit_is_torchvisions_resize_and_centre_crop(width, height, size, crop, interpolation):
    rng = np.random.default_rng(width * 100 + height)
    long = max(width, height) > 64 * min(width, height)
    # Bicubic overshoots, and Pillow may cut that off between its two passes, which come in either order.
    low, high = (90, 166) if long else (0, 256)
    picture = Image.fromarray(rng.integers(low, high, (height, width, 3), dtype=np.uint8))
    resize = transforms.Resize(round(size / crop), transforms.InterpolationMode(interpolation))
    expected = np.asarray(transforms.CenterCrop(size)(resize(picture)), dtype=int)
    # Pillow takes the box of a strip in single precision, and rounds to 8 bits after each of its two passes.
    assert np.abs(fit(picture, size, 3, crop, interpolation) - expected).max() <= (2 if long else 0)


def test_fit_grey_is_luma():
    # ITU-R 601: 0.299 R + 0.587 G + 0.114 B
    pixels = fit(Image.new("RGB", (9, 9), (200, 100, 50)), 8, 1, crop=1.0)
    assert pixels.shape == (8, 8, 1)
    assert np.abs(pixels - (0.299 * 200 + 0.587 * 100 + 0.114 * 50)).max() <= 0.5


@pytest.mark.parametrize("extent", [(1, 1), (1, 30_000), (30_000, 1), (2, 3)])
def test_fit_takes_strips_of_any_length(extent):
    pixels = fit(Image.new("RGB", extent, RED), 224, 3, crop=0.875)
    assert pixels.shape == (224, 224, 3)
    assert (pixels == RED).all()
