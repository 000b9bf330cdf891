"""The blocks of docs/deployment.md run and give what `predict` gives."""

import contextlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from peerdistill import backbones
from peerdistill.deploy import LeaderCard, export, predict

PAGE = (Path(__file__).parents[1] / "docs" / "deployment.md").read_text(encoding="utf-8")
PLAIN, IN_PYTORCH, WITH_TIMM = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
ORIENTATION = 0x0112


@pytest.fixture(scope="module", params=[(3, 0.875), (1, 1.0)], ids=["colour", "grey"])
def leader(request, tmp_path_factory) -> Path:
    """A folder with the same leader as ``leader.onnx`` and ``leader.safetensors``."""
    channels, crop = request.param
    folder = tmp_path_factory.mktemp("leader")
    torch.manual_seed(0)
    network = backbones.build("resnet8x4", classes=3, in_channels=channels).network().eval()
    nn.init.normal_(network.get_parameter("fc.weight"))  # answers that differ from picture to picture
    card = LeaderCard("resnet8x4", ("a", "b", "c"), 24, channels, (0.4,) * channels, (0.3,) * channels, crop)
    pictures = torch.randint(0, 256, (4, channels, 24, 24), dtype=torch.uint8)
    for format in ("onnx", "safetensors"):
        export(network, card, folder / f"leader.{format}", format=format, pictures=pictures)
    return folder


def write_pictures(folder: Path) -> list[Path]:
    """Write pictures of many modes and shapes."""
    pixels = np.random.default_rng(0).integers(0, 256, (41, 67, 4), dtype=np.uint8)
    smooth = Image.fromarray(pixels).resize((67, 41), Image.Resampling.BICUBIC, box=(0, 0, 9, 7))
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pictures = {
        "rgb.png": (smooth.convert("RGB"), {}),
        "rgba.png": (smooth, {}),
        "grey.png": (smooth.convert("L"), {}),
        "grey-alpha.png": (smooth.convert("LA"), {}),
        "palette.png": (smooth.convert("RGB").quantize(16), {"transparency": 3}),
        "bits.png": (smooth.convert("1"), {}),
        "cmyk.jpg": (smooth.convert("CMYK"), {}),
        "turned.jpg": (smooth.convert("RGB"), {"exif": exif}),
        "tall.webp": (smooth.convert("RGB").resize((30, 301)), {}),
        "small.gif": (smooth.convert("RGB").resize((5, 7)), {}),
    }
    for name, (picture, options) in pictures.items():
        picture.save(folder / name, **options)
    return [folder / name for name in pictures]


def run_script(model: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    monkeypatch.setattr("sys.argv", ["classify.py", str(model), str(picture)])
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        exec(PLAIN, {})
    return json.loads(stdout.getvalue())


def test_the_plain_script_gives_the_probabilities_of_predict(leader, tmp_path, monkeypatch):
    assert "peerdistill" not in re.sub(r'"peerdistill\."', "", PLAIN)
    firsts = set()
    pictures = write_pictures(tmp_path)
    for prediction in predict(leader / "leader.onnx", pictures):
        found = run_script(leader / "leader.onnx", prediction.path, monkeypatch)
        expected = dict(zip(prediction.classes, prediction.probabilities, strict=True))
        assert found == pytest.approx(expected, abs=1e-6), prediction.path.name
        firsts.add(round(prediction.probabilities[0], 4))
    assert len(firsts) > 5  # the pictures are told apart


def test_the_leader_in_pytorch_gives_the_probabilities_of_predict(leader, tmp_path, monkeypatch):
    (picture, *_) = write_pictures(tmp_path)
    picture.replace(leader / "photo.jpg")  # a picture is known by its content
    monkeypatch.chdir(leader)
    names: dict = {}
    exec(IN_PYTORCH, names)
    (prediction,) = predict("leader.onnx", ["photo.jpg"])
    shares = names["logits"].softmax(1)[0]
    found = {name: shares[names["card"].class_names.index(name)].item() for name in prediction.classes}
    assert found == pytest.approx(dict(zip(prediction.classes, prediction.probabilities, strict=True)), abs=1e-4)


def test_timm_loads_an_exported_folder(tmp_path, monkeypatch):
    torch.manual_seed(0)
    backbone = "timm:test_resnet"
    network = backbones.build(backbone, classes=3, image_size=24).network().eval()
    card = LeaderCard(backbone, ("a", "b", "c"), 24, 3, (0.4,) * 3, (0.3,) * 3, 0.875)
    pictures = torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8)
    export(network, card, tmp_path / "mine", format="timm", pictures=pictures)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(WITH_TIMM, names)
    (photo, *_) = write_pictures(tmp_path)
    with torch.no_grad():
        probabilities = names["network"](names["transform"](Image.open(photo))[None]).softmax(1)[0]
    (found,) = predict(tmp_path / "mine", [photo], top=3)
    assert sorted(found.probabilities) == pytest.approx(sorted(probabilities.tolist()), abs=1e-5)
