import base64
import io

import numpy as np
import pytest
from PIL import Image

from peerdistill.study.report.pictures import SIDE, Pictures, address_of
from peerdistill.study.report.reported_run import read_runs
from support.photos import noise


def opened(address: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_are_kept_exactly(channels):
    pixels = noise(0, 32, 32)[..., :channels]
    address = address_of(pixels)
    assert address.startswith("data:image/png;base64,")
    assert np.array_equal(np.asarray(opened(address)).reshape(pixels.shape), pixels)


def test_large_pictures_are_reduced():
    address = address_of(np.full((300, 200, 3), 90, dtype=np.uint8))
    assert address.startswith("data:image/jpeg;base64,")
    picture = opened(address)
    assert picture.size == (SIDE * 2 // 3, SIDE)
    assert np.abs(np.asarray(picture).astype(int) - 90).max() <= 2


def test_pictures_are_bounded_and_shared_by_runs_on_the_same_data(hostile):
    (reported,) = read_runs([hostile])
    pictures = Pictures(runs=1)
    first, second = pictures.of(reported), pictures.of(reported)
    assert first.add(3) == second.add(3) is not None
    assert len(pictures.addresses) == 1
    size = len(next(iter(pictures.addresses.values())))
    small = Pictures(runs=2, most_bytes=4 * size + 3)
    of_run = small.of(reported)
    rows = range(len(reported.predictions.labels))
    added = [of_run.add(row) for row in rows]
    assert sum(map(len, small.addresses.values())) <= 2 * size + 1
    assert 1 <= sum(id is not None for id in added) < len(rows)
