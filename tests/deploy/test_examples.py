"""Files of encoders, and classifiers from an encoder and a few examples of each class."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from peerdistill import Cohort
from peerdistill.deploy import LeaderCard, export, load_leader, predict, predict_with
from peerdistill.deploy.formats import FORMATS, ExportError, open_scorer
from peerdistill.errors import UserError

EXACT = [name for name, format in FORMATS.items() if not (format.needs_calibration or format.is_folder)]


@pytest.fixture(scope="session")
def encoder(digits: Tensor) -> nn.Module:
    torch.manual_seed(3)
    cohort = Cohort("resnet8", classes=4, peers=1, sharing="network", in_channels=1)
    with torch.no_grad():
        for _ in range(3):
            cohort(digits[:32] / 255)
    return cohort.encoder()


@pytest.fixture(scope="session")
def encoder_card(card: LeaderCard) -> LeaderCard:
    return dataclasses.replace(card, class_names=())


@pytest.fixture(scope="session")
def encoders(encoder, encoder_card, digits, tmp_path_factory) -> dict[str, Path]:
    """The same encoder in every format without calibration; read-only."""
    folder = tmp_path_factory.mktemp("encoders")
    files = {format: folder / f"encoder.{format}" for format in EXACT}
    for format, file in files.items():
        export(encoder, encoder_card, file, format=format, pictures=digits)
    return files


@pytest.fixture
def examples(digits: Tensor, tmp_path: Path) -> Path:
    """Class folders with 3, 1 and 2 of the digits."""
    folder = tmp_path / "support"
    for name, rows in (("zero", (0, 10, 20)), ("one", (1,)), ("two", (2, 12))):
        (folder / name).mkdir(parents=True)
        for row in rows:
            Image.fromarray(digits[row, 0].numpy()).save(folder / name / f"{row}.png")
    return folder


@pytest.mark.parametrize("format", EXACT)
def test_the_file_of_an_encoder_returns_its_features(encoders, encoder, encoder_card, digits, format):
    score, card = open_scorer(encoders[format], trust=True)
    assert card == encoder_card
    assert card.is_encoder
    images = digits.float() / 255
    with torch.no_grad():
        expected = encoder((images - 0.31) / 0.37)
    found = torch.from_numpy(score(images.numpy()))
    assert found.shape == (70, 64)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_the_output_of_an_onnx_file_is_named_features_or_logits(encoders, reports):
    for file, output in ((encoders["onnx"], "features"), (reports["onnx"].path, "logits")):
        model = onnx.load(file)
        assert [value.name for value in model.graph.output] == [output]
        assert {pair.key: pair.value for pair in model.metadata_props}["peerdistill.output"] == f'"{output}"'


def test_the_file_of_an_encoder_has_no_weights_of_a_classifier(encoders):
    network, card = load_leader(encoders["safetensors"])
    assert card.is_encoder
    assert not [name for name in network.network.state_dict() if name.startswith("fc")]


@pytest.mark.parametrize("format", EXACT)
def test_a_picture_is_assigned_to_the_class_with_the_nearest_mean_features(
    encoders, encoder, digits, examples, digit_files, format
):
    found = predict(encoders[format], digit_files, support=examples, top=3, trust=True)
    with torch.no_grad():
        features = encoder((digits / 255 - 0.31) / 0.37).double().tolist()
    rows = {"zero": (0, 10, 20), "one": (1,), "two": (2, 12)}
    means = {name: np.mean([features[row] for row in members], axis=0) for name, members in rows.items()}
    for row, prediction in enumerate(found):
        nearness = {name: -(math.dist(features[row], mean) ** 2) for name, mean in means.items()}
        total = sum(math.exp(value) for value in nearness.values())
        expected = sorted(nearness, key=lambda name: -nearness[name])
        assert prediction.classes == tuple(expected)
        shares = [math.exp(nearness[name]) / total for name in expected]
        assert prediction.probabilities == pytest.approx(shares, abs=1e-3)


def test_predictions_do_not_depend_on_the_batch_size(encoders, examples, digit_files):
    one, many = (predict(encoders["onnx"], digit_files, support=examples, batch_size=size) for size in (1, 100))
    for first, second in zip(one, many, strict=True):
        assert first.classes == second.classes
        assert first.probabilities == pytest.approx(second.probabilities, abs=1e-5)


def test_onnx_encoders_predict_without_importing_torch(encoders, examples, digit_files):
    program = (
        "import sys; from pathlib import Path; from peerdistill.deploy import predict;"
        "model, support, *pictures = map(Path, sys.argv[1:]);"
        "print(*[p.classes[0] for p in predict(model, pictures, support=support)]);"
        "assert not {'torch', 'torchvision', 'lightning', 'onnx'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program, str(encoders["onnx"]), str(examples), *map(str, digit_files)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split()[:3] == ["zero", "one", "two"]


def test_an_encoder_needs_examples_to_classify(encoders, digit_files):
    with pytest.raises(
        UserError, match="an encoder has no classes: pass a folder with one folder of examples for each class"
    ):
        predict(encoders["onnx"], digit_files)


def test_examples_for_a_classifier_are_refused(reports, examples, digit_files):
    with pytest.raises(UserError, match="--support applies to encoders only, and this leader has 10 classes"):
        predict(reports["onnx"].path, digit_files, support=examples)


def test_folders_without_examples_are_refused(encoder_card, examples, digit_files, tmp_path):
    def score(images):
        return images.reshape(len(images), -1)

    with pytest.raises(UserError, match=r"the folder of examples .*none does not exist"):
        predict_with(score, encoder_card, digit_files, support=tmp_path / "none")
    (examples / "three").mkdir()
    with pytest.raises(UserError, match=r"class folder '.*three' has no pictures"):
        predict_with(score, encoder_card, digit_files, support=examples)
    (examples / "three" / "3.png").write_text("no picture")
    with pytest.raises(UserError, match=r"cannot read picture '.*3\.png'"):
        predict_with(score, encoder_card, digit_files, support=examples)


def test_a_file_that_does_not_reproduce_the_encoder_is_removed(encoder, encoder_card, digits, tmp_path):
    class Louder(nn.Module):
        def forward(self, images):
            return encoder(images) * (1.0 if torch.compiler.is_exporting() else 1.1)

    with pytest.raises(ExportError, match="does not reproduce the leader: largest difference of features"):
        export(Louder(), encoder_card, tmp_path / "encoder.pt2", format="pt2", pictures=digits)
    assert not list(tmp_path.iterdir())
