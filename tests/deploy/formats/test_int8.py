"""A trained network and its int8 file, compared by onnx, onnxruntime and plain formulas."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from peerdistill import backbones
from peerdistill.deploy import ExportError, ExportReport, LeaderCard, export, open_scorer
from peerdistill.deploy.formats import FORMATS, Leader
from peerdistill.errors import UserError
from support.digits import FULL_RANGE, digit_images

TRAINING = 1000


@pytest.fixture(scope="module")
def all_digits() -> tuple[Tensor, Tensor]:
    images, labels = digit_images(scale=FULL_RANGE)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels)


@pytest.fixture(scope="module")
def trained(all_digits) -> nn.Module:
    """A ResNet-8 that was trained on the first 1,000 digits for a few epochs."""
    images, labels = all_digits
    torch.manual_seed(3)
    network = backbones.build("resnet8", classes=10, in_channels=1).network()
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
    """The float32 file; read-only."""
    file = tmp_path_factory.mktemp("exact") / "leader.onnx"
    export(trained, card, file, format="onnx", pictures=held_out[:70])
    return file


@pytest.fixture(scope="module")
def int8_of(card, calibration, held_out) -> Callable[..., ExportReport]:
    """Return a function that exports a network as int8."""

    def exported(network: nn.Module, file: Path, **changes) -> ExportReport:
        options = {"card": card, "format": "int8", "calibration": calibration, "pictures": held_out, **changes}
        return export(network, output=file, **options)

    return exported


@pytest.fixture(scope="module")
def report(int8_of, trained, tmp_path_factory) -> ExportReport:
    """The int8 file, in a folder of its own; read-only."""
    file = tmp_path_factory.mktemp("int8") / "leader.int8.onnx"
    return int8_of(trained, file)


def logits(file: Path, pictures: Tensor) -> np.ndarray:
    return open_scorer(file)[0]((pictures.float() / 255).numpy())


def initializers(file: Path) -> dict[str, np.ndarray]:
    return {weight.name: numpy_helper.to_array(weight) for weight in onnx.load(file).graph.initializer}


def quantised_kinds(file: Path) -> set[str]:
    """Return the operators that have an 8-bit input."""
    nodes = onnx.load(file).graph.node
    of_8_bits = {name for node in nodes if node.op_type == "DequantizeLinear" for name in node.output}
    return {node.op_type for node in nodes if of_8_bits.intersection(node.input)} - {"QuantizeLinear"}


def kinds_rounded_to_8_bits(file: Path) -> set[str]:
    """Return the operators whose output is quantised."""
    nodes = onnx.load(file).graph.node
    rounded = {node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    return {node.op_type for node in nodes if rounded.intersection(node.output)}


def test_int8_and_float32_nearly_always_predict_the_same_class(report, exact, all_digits, held_out):
    expected, found = (logits(file, held_out).argmax(1) for file in (exact, report.path))
    assert report.agreement == pytest.approx((expected == found).mean())
    assert report.agreement >= 0.98
    labels = all_digits[1][TRAINING:].numpy()
    assert (expected == labels).mean() > 0.9
    assert abs((expected == labels).mean() - (found == labels).mean()) < 0.01


def test_the_report_describes_the_file(report, exact, held_out):
    assert (report.format, report.samples, report.details["calibrated_on"]) == ("int8", 797, 100)
    assert report.bytes == report.path.stat().st_size < 0.4 * report.details["float_bytes"]
    assert report.details["float_bytes"] == exact.stat().st_size
    expected, found = (logits(file, held_out) for file in (exact, report.path))
    assert report.largest_difference == pytest.approx(np.abs(expected - found).max(), rel=1e-3)
    assert list(report.path.parent.iterdir()) == [report.path]


def test_the_file_is_valid_and_has_a_free_batch_size_and_the_same_card(report, exact, card, held_out):
    model, float_model = onnx.load(report.path), onnx.load(exact)
    onnx.checker.check_model(model, full_check=True)
    (images,), (outputs,) = model.graph.input, model.graph.output
    assert [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim] == ["batch", 1, 8, 8]
    assert (images.name, outputs.name) == ("images", "logits")
    metadata, of_exact = ({pair.key: pair.value for pair in opened.metadata_props} for opened in (model, float_model))
    assert of_exact.items() <= metadata.items()
    assert open_scorer(report.path)[1] == card
    together = logits(report.path, held_out[:70])
    for size in (1, 2, 5):
        np.testing.assert_allclose(logits(report.path, held_out[:size]), together[:size], atol=1e-4)


def test_weights_have_one_scale_per_output_channel(report, exact):
    whole, small = initializers(exact), initializers(report.path)
    names = [name for name, weight in whole.items() if weight.ndim == 4]
    assert len(names) == 9
    for name in names:
        largest = np.abs(whole[name]).reshape(len(whole[name]), -1).max(1)
        np.testing.assert_allclose(small[f"{name}_scale"], largest / 127, rtol=1e-3)
        assert small[f"{name}_quantized"].dtype == np.int8
        back = small[f"{name}_quantized"] * small[f"{name}_scale"].reshape(-1, 1, 1, 1)
        assert (np.abs(back - whole[name]) <= 0.51 * small[f"{name}_scale"].reshape(-1, 1, 1, 1)).all()


def test_ranges_are_set_on_the_calibration_pictures(int8_of, trained, tmp_path, calibration):
    dark = calibration // 2
    normalised = (dark.float() / 255 - 0.31) / 0.37
    int8_of(trained, tmp_path / "dark.onnx", calibration=dark)
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


def test_the_file_is_determined_by_the_calibration_pictures(report, int8_of, trained, calibration, tmp_path, capfd):
    for name in ("again", "other"):
        pictures = calibration if name == "again" else calibration // 3
        int8_of(trained, tmp_path / f"{name}.onnx", calibration=pictures)
    assert (tmp_path / "again.onnx").read_bytes() == report.path.read_bytes()
    assert (tmp_path / "other.onnx").read_bytes() != report.path.read_bytes()
    assert capfd.readouterr() == ("", "")


def test_all_layers_of_an_encoder_are_quantised(trained, card, int8_of, held_out, tmp_path):
    encoder = nn.Sequential(trained, nn.Linear(10, 6)).eval()
    nameless = dataclasses.replace(card, class_names=())
    export(encoder, nameless, tmp_path / "encoder.onnx", format="onnx", pictures=held_out[:70])
    report = int8_of(encoder, tmp_path / "encoder.int8.onnx", card=nameless)
    assert open_scorer(report.path)[1] == nameless
    assert "Gemm" in quantised_kinds(report.path)
    features = [torch.from_numpy(logits(tmp_path / name, held_out)) for name in ("encoder.onnx", "encoder.int8.onnx")]
    nearest = [torch.cdist(of_file, of_file).fill_diagonal_(torch.inf).argmin(1) for of_file in features]
    assert report.agreement == pytest.approx((nearest[0] == nearest[1]).float().mean().item())


def test_batchnorm_after_an_activation_stays_in_float(int8_of, tmp_path, capfd):
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.Flatten())
    network = nn.Sequential(*layers, nn.Linear(128, 10)).eval()
    report = int8_of(network, tmp_path / "small.onnx")
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


def test_with_layernorm_only_layers_with_weights_are_quantised(int8_of, tmp_path, capfd):
    torch.manual_seed(0)
    report = int8_of(Tokens().eval(), tmp_path / "small.onnx")
    assert capfd.readouterr() == ("", "")
    rounded = kinds_rounded_to_8_bits(report.path)
    assert "MatMul" in rounded
    assert rounded.isdisjoint({"Add", "LayerNormalization", "Softmax"})
    of_8_bits = [
        name for name, value in initializers(report.path).items() if value.dtype == np.int8 and value.ndim == 2
    ]
    assert len(of_8_bits) == 1  # neither the last layer nor a product of two activations


def test_existing_file_is_replaced_only_with_force(int8_of, trained, tmp_path, report):
    output = tmp_path / "leader.onnx"
    output.write_text("precious")
    with pytest.raises(UserError, match=r"leader.onnx exists: .* --force"):
        int8_of(trained, output)
    assert output.read_text() == "precious"
    int8_of(trained, output, force=True)
    assert output.read_bytes() == report.path.read_bytes()


@pytest.mark.parametrize(
    ("output", "changes", "message"),
    [
        ("leader.int8", {}, r"leader.int8 must end in .onnx"),
        ("leader.onnx", {"calibration": None}, "export as int8 needs training pictures for calibration"),
        ("leader.onnx", {"calibration": slice(1)}, r"calibration needs at least 2 pictures, found 1"),
        ("leader.onnx", {"pictures": slice(1)}, r"the check of an export needs at least 2 pictures, found 1"),
    ],
)
def test_invalid_requests_are_refused(int8_of, trained, held_out, tmp_path, output, changes, message):
    changes = {name: part and held_out[part] for name, part in changes.items()}
    with pytest.raises(UserError, match=message):
        int8_of(trained, tmp_path / output, **changes)
    assert not list(tmp_path.iterdir())


def test_calibration_pictures_must_have_the_size_of_the_card(trained, card, held_out, tmp_path):
    large = torch.zeros(4, 1, 9, 9, dtype=torch.uint8)
    unchecked = getattr(export, "__wrapped__", export)  # without the shape checks of the tests, which come first
    with pytest.raises(UserError, match=r"calibration needs pictures of shape \(1, 8, 8\), found \(1, 9, 9\)"):
        unchecked(trained, card, tmp_path / "a.onnx", format="int8", pictures=held_out, calibration=large)
    assert not list(tmp_path.iterdir())


def test_network_without_weights_cannot_be_quantised(card: LeaderCard, int8_of, tmp_path):
    sums = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    with pytest.raises(ExportError, match="no layer with weights"):
        int8_of(sums, tmp_path / "small.onnx", card=dataclasses.replace(card, class_names=()))
    assert not list(tmp_path.iterdir())


def test_int8_file_with_outputs_that_are_not_finite_is_refused(card, int8_of, tmp_path, trained):
    def spoil(leader: Leader, path: Path) -> None:
        FORMATS["int8"].write(leader, path)
        model = onnx.load(path)
        (classifier,) = (node for node in model.graph.node if node.op_type == "Gemm")
        bias = next(weight for weight in model.graph.initializer if weight.name == classifier.input[2])
        bias.CopyFrom(numpy_helper.from_array(np.full(10, np.nan, np.float32), bias.name))
        onnx.save(model, path)

    with pytest.raises(ExportError, match="file gives logits that are not finite"):
        int8_of(trained, tmp_path / "leader.onnx", format=dataclasses.replace(FORMATS["int8"], write=spoil))
    assert not list(tmp_path.iterdir())
