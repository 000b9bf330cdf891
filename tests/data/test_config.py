import math
from dataclasses import fields

import pytest

from peerdistill.data import DataConfig, MixConfig, load_dataset
from peerdistill.data.config import Preprocessing, SubsetConfig
from peerdistill.errors import UserError

CHANNELS = ", one for all channels or one for each, found"


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("validation", 1.0, "validation must be at least 0 and below 1, found 1.0"),
        ("validation", -0.1, "validation must be at least 0 and below 1, found -0.1"),
        ("validation", math.nan, "validation must be at least 0 and below 1, found nan"),
        ("image_size", 7, "image_size must be at least 8 and at most 4,096, found 7"),
        ("crop_padding", -1, "crop_padding must be at least 0 and at most 1,024, found -1"),
        (
            "mean",
            [0.5, 0.5],
            f"mean must be 1 or 3 finite numbers{CHANNELS} [0.5, 0.5]",
        ),
        ("std", [0.0], f"std must be 1 or 3 positive numbers{CHANNELS} [0.0]"),
        ("mean", [math.nan], f"mean must be 1 or 3 finite numbers{CHANNELS} [nan]"),
        ("crop", 1.1, "crop must be at least 0.01 and at most 1, found 1.1"),
        ("min_scale", 0.0, "min_scale must be above 0 and at most 1, found 0.0"),
        ("min_scale", 1.5, "min_scale must be above 0 and at most 1, found 1.5"),
        ("color_jitter", 1.5, "color_jitter must be at least 0 and at most 1, found 1.5"),
        ("erasing", -0.1, "erasing must be at least 0 and at most 1, found -0.1"),
        ("mix", MixConfig(mixup=-1.0), "mix.mixup must be at least 0 and at most 1,000, found -1.0"),
        ("mix", MixConfig(cutmix=1001.0), "mix.cutmix must be at least 0 and at most 1,000, found 1001.0"),
        ("mix", MixConfig(share=0.0), "mix.share must be above 0 and at most 1, found 0.0"),
        ("subset", SubsetConfig(classes=1), "subset.classes must be at least 2 and at most 10,000,000, found 1"),
        ("subset", SubsetConfig(per_class=0), "subset.per_class must be at least 1 and at most 1,000,000,000, found 0"),
        ("workers", -1, "workers must be at least 0 and at most 1,024, found -1"),
        ("cache_gib", 0.0, "cache_gib must be above 0 and at most 1,000,000, found 0.0"),
        ("cache_gib", math.nan, "cache_gib must be above 0 and at most 1,000,000, found nan"),
    ],
)
def test_value_out_of_range_is_named(field, value, sentence):
    with pytest.raises(UserError) as error:
        DataConfig("digits", **{field: value}).check()
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    "limits",
    [
        {"validation": 0.0, "image_size": 8, "crop_padding": 0, "min_scale": 1.0, "workers": 0, "cache_gib": 1e-9},
        {"color_jitter": 1.0, "erasing": 1.0, "mix": MixConfig(mixup=1000.0, cutmix=0.0, share=1.0)},
        {"mean": [0.5], "std": [1e-6, 1.0, 1.0], "crop": 1.0, "interpolation": "bicubic"},
        {
            "validation": 0.99,
            "image_size": 1024,
            "crop_padding": 64,
            "min_scale": 1e-3,
            "workers": 64,
            "cache_gib": 1e6,
        },
    ],
)
def test_limits_are_allowed(limits):
    DataConfig("digits", **limits).check()


def test_null_means_what_pretrained_weights_expect_and_else_the_defaults(make_folder):
    expected = Preprocessing(32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 0.5, "bicubic")
    config = DataConfig(str(make_folder({"ant": 2, "bee": 2})), crop=0.7)
    found = config.resolved(expected)
    assert found.preprocessing == Preprocessing(32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 0.7, "bicubic")
    assert config.resolved().preprocessing == config.preprocessing == Preprocessing(crop=0.7)
    assert found.resolved() == found


def test_mean_and_std_of_arrays_are_their_own_unless_given():
    own, given = load_dataset(DataConfig("digits")), load_dataset(DataConfig("digits", mean=[0.2, 0.3, 0.7], std=[0.5]))
    assert own.mean != given.mean == (pytest.approx(0.4),)
    assert given.std == (0.5,)
    assert given.fingerprint == own.fingerprint


@pytest.mark.parametrize(
    ("data", "used", "unused"),
    [
        ("npz:a.npz", "crop_padding", "image_size"),
        ("digits", "flip", "min_scale"),
        ("wds:a.tar", "image_size", "crop_padding"),
        ("hf:user/name", "min_scale", "crop_padding"),
        ("mine:images", "image_size", "crop"),
    ],
)
def test_options_that_change_nothing(data, used, unused):
    found = DataConfig(data).unused
    assert unused in found
    assert used not in found
    assert found <= {field.name for field in fields(DataConfig)}
