"""A trained network and its int8 form, told apart by stock tools: onnx, onnxruntime and plain formulas."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill import backbones
from peerdistill.deploy import ExportError, LeaderCard, QuantisedReport, export, quantise
from peerdistill.deploy.scorers import open_model
from peerdistill.errors import UserError

TRAINING = 1000


@pytest.fixture(scope="module")
def all_digits() -> tuple[Tensor, Tensor]:
    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels * (255 / 16)).astype(np.uint8)
    return torch.from_numpy(images).view(-1, 1, 8, 8), torch.from_numpy(labels)


@pytest.fixture(scope="module")
def trained(all_digits) -> nn.Module:
    """A ResNet-20 that has seen the first 1,000 digits a few times."""
    images, labels = all_digits
    torch.manual_seed(3)
    network = backbones.build("resnet20", classes=10, in_channels=1).network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    for _ in range(5):
        for rows in torch.randperm(TRAINING).split(50):
            loss = F.cross_entropy(network((images[rows] / 255 - 0.31) / 0.37), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def calibration(all_digits) -> Tensor:
    return all_digits[0][:100]


@pytest.fixture(scope="module")
def held_out(all_digits) -> Tensor:
    return all_digits[0][TRAINING:]


@pytest.fixture(scope="module")
def exact(trained, card, held_out, tmp_path_factory) -> Path:
    """The float file, not to be changed."""
    file = tmp_path_factory.mktemp("exact") / "leader.onnx"
    export(trained, card, file, format="onnx", pictures=held_out[:70])
    return file


@pytest.fixture(scope="module")
def report(exact, calibration, held_out, tmp_path_factory) -> QuantisedReport:
    """The int8 file, alone in its folder, not to be changed."""
    file = tmp_path_factory.mktemp("int8") / "leader.int8.onnx"
    return quantise(exact, file, calibration=calibration, pictures=held_out)


def logits(file: Path, pictures: Tensor) -> np.ndarray:
    return open_model(file)[0]((pictures.float() / 255).numpy())


def initializers(file: Path) -> dict[str, np.ndarray]:
    return {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(file).graph.initializer}


def quantised_kinds(file: Path) -> set[str]:
    """Return the kinds of nodes that have an input of 8 bits."""
    nodes = onnx.load(file).graph.node
    of_8_bits = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    return {node.op_type for node in nodes if of_8_bits.intersection(node.input)} - {"QuantizeLinear"}


def kinds_rounded_to_8_bits(file: Path) -> set[str]:
    """Return the kinds of nodes whose output becomes 8 bits."""
    nodes = onnx.load(file).graph.node
    rounded = {node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    return {node.op_type for node in nodes if rounded.intersection(node.output)}


def test_answers_are_nearly_those_of_the_float_file(report, exact, all_digits, held_out):
    expected, found = (logits(file, held_out).argmax(1) for file in (exact, report.path))
    assert report.agreement == pytest.approx((expected == found).mean())
    assert report.agreement >= 0.98
    labels = all_digits[1][TRAINING:].numpy()
    assert (expected == labels).mean() > 0.9
    assert abs((expected == labels).mean() - (found == labels).mean()) < 0.01


def test_report_says_what_was_written(report, exact, held_out):
    assert (report.format, report.samples, report.calibrated_on) == ("onnx", 797, 100)
    assert report.bytes == report.path.stat().st_size < 0.4 * report.float_bytes
    assert report.float_bytes == exact.stat().st_size
    expected, found = (logits(file, held_out) for file in (exact, report.path))
    assert report.largest_difference == pytest.approx(np.abs(expected - found).max(), rel=1e-3)
    assert list(report.path.parent.iterdir()) == [report.path]


def test_file_is_valid_and_takes_any_batch_with_the_same_card(report, exact, card, held_out):
    model, float_model = onnx.load(report.path), onnx.load(exact)
    onnx.checker.check_model(model, full_check=True)
    (images,), (outputs,) = model.graph.input, model.graph.output
    assert [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim] == ["batch", 1, 8, 8]
    assert (images.name, outputs.name) == ("images", "logits")
    metadata, of_exact = ({pair.key: pair.value for pair in opened.metadata_props} for opened in (model, float_model))
    assert of_exact.items() <= metadata.items()
    assert open_model(report.path)[1] == card
    together = logits(report.path, held_out[:70])
    for size in (1, 2, 5):
        np.testing.assert_allclose(logits(report.path, held_out[:size]), together[:size], atol=1e-4)


def test_weights_have_a_scale_for_each_channel(report, exact):
    whole, small = initializers(exact), initializers(report.path)
    names = [name for name, weight in whole.items() if weight.ndim == 4]
    assert len(names) == 21
    for name in names:
        largest = np.abs(whole[name]).reshape(len(whole[name]), -1).max(1)
        np.testing.assert_allclose(small[f"{name}_scale"], largest / 127, rtol=1e-3)
        assert small[f"{name}_quantized"].dtype == np.int8
        back = small[f"{name}_quantized"] * small[f"{name}_scale"].reshape(-1, 1, 1, 1)
        assert (np.abs(back - whole[name]) <= 0.51 * small[f"{name}_scale"].reshape(-1, 1, 1, 1)).all()


def test_ranges_are_those_of_the_calibration_pictures(exact, tmp_path, calibration, held_out):
    dark = calibration // 2
    normalised = (dark.float() / 255 - 0.31) / 0.37
    quantise(exact, tmp_path / "dark.onnx", calibration=dark, pictures=held_out)
    model, values = onnx.load(tmp_path / "dark.onnx"), initializers(tmp_path / "dark.onnx")
    first = next(node for node in model.graph.node if node.op_type == "QuantizeLinear")
    step = (normalised.max() - normalised.min()).item() / 255
    assert values[first.input[1]] == pytest.approx(step, rel=1e-3)


def test_normalisation_and_classifier_stay_in_float(report):
    nodes = onnx.load(report.path).graph.node
    assert [node.op_type for node in nodes if "images" in node.input] == ["Sub"]
    assert quantised_kinds(report.path) >= {"Conv", "Add"}
    assert quantised_kinds(report.path).isdisjoint({"Sub", "Div", "Gemm"})
    (classifier,) = (node for node in nodes if node.op_type == "Gemm")
    assert all(initializers(report.path)[name].dtype == np.float32 for name in classifier.input[1:])


def test_the_same_pictures_make_the_same_file(report, exact, calibration, held_out, tmp_path, capfd):
    for name in ("again", "other"):
        pictures = calibration if name == "again" else calibration // 3
        quantise(exact, tmp_path / f"{name}.onnx", calibration=pictures, pictures=held_out)
    assert (tmp_path / "again.onnx").read_bytes() == report.path.read_bytes()
    assert (tmp_path / "other.onnx").read_bytes() != report.path.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_all_layers_of_an_encoder_are_quantised(trained, card, calibration, held_out, tmp_path):
    encoder = nn.Sequential(trained, nn.Linear(10, 6)).eval()
    nameless = dataclasses.replace(card, class_names=())
    export(encoder, nameless, tmp_path / "encoder.onnx", format="onnx", pictures=held_out[:70])
    report = quantise(
        tmp_path / "encoder.onnx", tmp_path / "encoder.int8.onnx", calibration=calibration, pictures=held_out
    )
    assert open_model(report.path)[1] == nameless
    assert "Gemm" in quantised_kinds(report.path)
    features = [torch.from_numpy(logits(tmp_path / name, held_out)) for name in ("encoder.onnx", "encoder.int8.onnx")]
    nearest = [torch.cdist(of_file, of_file).fill_diagonal_(torch.inf).argmin(1) for of_file in features]
    assert report.agreement == pytest.approx((nearest[0] == nearest[1]).float().mean().item())


def test_batchnorm_after_an_activation_stays_in_float(card, calibration, held_out, tmp_path, capfd):
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten())
    network = nn.Sequential(*layers, nn.Linear(128, 10)).eval()
    export(network, card, tmp_path / "leader.onnx", format="onnx", pictures=held_out[:70])
    capfd.readouterr()
    report = quantise(tmp_path / "leader.onnx", tmp_path / "small.onnx", calibration=calibration, pictures=held_out)
    assert capfd.readouterr() == ("", "")
    nodes, values = onnx.load(report.path).graph.node, initializers(report.path)
    (normalisation,) = (node for node in nodes if node.op_type == "BatchNormalization")
    assert all(values[name].dtype == np.float32 for name in normalisation.input[1:])


class Tokens(nn.Module):
    """Rows of an image as tokens, attention and LayerNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.norm, self.out = nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 10)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.into(images[:, 0])
        seen = self.norm(tokens)
        mixed = (seen @ seen.transpose(1, 2)).softmax(-1) @ seen
        return self.out((tokens + mixed).mean(1))


def test_of_a_network_with_layernorm_only_layers_with_weights_are_quantised(
    card, calibration, held_out, tmp_path, capfd
):
    torch.manual_seed(0)
    export(Tokens().eval(), card, tmp_path / "leader.onnx", format="onnx", pictures=held_out[:70])
    capfd.readouterr()
    report = quantise(tmp_path / "leader.onnx", tmp_path / "small.onnx", calibration=calibration, pictures=held_out)
    assert capfd.readouterr() == ("", "")
    rounded = kinds_rounded_to_8_bits(report.path)
    assert "MatMul" in rounded
    assert rounded.isdisjoint({"Add", "LayerNormalization", "Softmax"})
    of_8_bits = [
        name for name, value in initializers(report.path).items() if value.dtype == np.int8 and value.ndim == 2
    ]
    assert len(of_8_bits) == 1  # not the last one, and no product of two activations


def test_existing_file_is_replaced_only_with_force(exact, calibration, held_out, tmp_path, report):
    output = tmp_path / "leader.onnx"
    output.write_text("precious")
    with pytest.raises(UserError, match=r"leader.onnx exists: .* --force"):
        quantise(exact, output, calibration=calibration, pictures=held_out)
    assert output.read_text() == "precious"
    quantise(exact, output, calibration=calibration, pictures=held_out, force=True)
    assert output.read_bytes() == report.path.read_bytes()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"output": "leader.int8"}, r"leader.int8 must end in .onnx"),
        ({"exact": "leader.pt2"}, r"leader.pt2 can't be quantised: it must be an exported .onnx file"),
        ({"exact": "none.onnx"}, r"none.onnx is no model: no such file"),
        ({"calibration": 1}, r"at least 2 pictures, found 1"),
        ({"pictures": 1}, r"at least 2 pictures, found 1"),
    ],
)
def test_request_that_can_not_be_met(exact, calibration, held_out, tmp_path, changes, told):
    source, output = (changes.get(name) for name in ("exact", "output"))
    with pytest.raises(UserError, match=told):
        quantise(
            tmp_path / source if source else exact,
            tmp_path / (output or "small.onnx"),
            calibration=calibration[: changes.get("calibration")],
            pictures=held_out[: changes.get("pictures")],
        )
    assert not list(tmp_path.iterdir())


def test_pictures_must_fit_the_leader(exact, tmp_path):
    large = torch.zeros(4, 1, 9, 9, dtype=torch.uint8)
    with pytest.raises(UserError, match=r"\(1, 8, 8\), found \(1, 9, 9\)"):
        quantise(exact, tmp_path / "small.onnx", calibration=large, pictures=large)
    assert not list(tmp_path.iterdir())


def test_network_without_weights_has_no_int8_form(card: LeaderCard, calibration, held_out, tmp_path):
    sums = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    nameless = dataclasses.replace(card, class_names=())
    export(sums, nameless, tmp_path / "leader.onnx", format="onnx", pictures=held_out[:70])
    with pytest.raises(ExportError, match="no layer with weights"):
        quantise(tmp_path / "leader.onnx", tmp_path / "small.onnx", calibration=calibration, pictures=held_out)
    assert [file.name for file in tmp_path.iterdir()] == ["leader.onnx"]
