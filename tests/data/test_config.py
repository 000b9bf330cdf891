import math

import pytest

from peerdistill.data import DataConfig
from peerdistill.errors import UserError


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("validation", 1.0, "validation must be at least 0 and below 1, found 1.0"),
        ("validation", -0.1, "validation must be at least 0 and below 1, found -0.1"),
        ("validation", math.nan, "validation must be at least 0 and below 1, found nan"),
        ("image_size", 7, "image_size must be at least 8 and at most 4,096, found 7"),
        ("crop_padding", -1, "crop_padding must be at least 0 and at most 1,024, found -1"),
        ("min_scale", 0.0, "min_scale must be above 0 and at most 1, found 0.0"),
        ("min_scale", 1.5, "min_scale must be above 0 and at most 1, found 1.5"),
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
