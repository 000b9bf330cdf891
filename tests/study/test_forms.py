"""The forms of a network; whole benches are those of the command line, tests/cli/commands/test_bench.py."""

import numpy as np
import pytest
import torch
from torch import nn

from peerdistill.deploy import LeaderCard
from peerdistill.study.forms import Form, form_latencies, make_forms


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.randint(256, (20, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 3))
    return nn.Sequential(*layers).eval()


def test_every_form_is_the_leader_on_plain_pixels_and_as_large_as_its_file(network, pictures, tmp_path):
    # Of a backbone in the user's own code: no file has to be read back by its name.
    card = LeaderCard("own.code:network", ("a", "b", "c"), 8, 1, (0.4,), (0.3,), 1.0)
    forms = make_forms(network, card, tmp_path, calibration=pictures, pictures=pictures)
    files = {"pytorch": "leader.safetensors", "onnx": "leader.onnx", "int8": "leader.int8.onnx"}
    assert {name: form.bytes for name, form in forms.items()} == {
        name: (tmp_path / file).stat().st_size for name, file in files.items()
    }
    images = pictures.float() / 255
    with torch.no_grad():
        expected = network((images - 0.4) / 0.3).numpy()
    for name, tolerance in (("pytorch", 1e-5), ("onnx", 1e-4), ("int8", 0.05 * np.abs(expected).max())):
        np.testing.assert_allclose(forms[name].score(images.numpy()), expected, atol=tolerance, rtol=0)
    assert np.abs(forms["int8"].score(images.numpy()) - expected).max() > 1e-4


def test_few_pictures_are_repeated_to_fill_a_batch(pictures):
    seen = []

    def score(images: np.ndarray) -> np.ndarray:
        seen.append(images)
        return images[:, 0, 0]

    found = form_latencies({"only": Form(score, 1)}, pictures, batch=64, repeats=1)
    assert found["only"] > 0
    expected = pictures.repeat(4, 1, 1, 1)[:64].numpy() / np.float32(255)
    assert all(np.array_equal(images, expected) for images in seen)
