"""ONNX files as other tools read them, and files whose graph does not match their card."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from peerdistill.deploy import ExportError, LeaderCard, predict
from peerdistill.deploy.formats import onnx as onnx_format
from peerdistill.errors import UserError


@pytest.fixture
def onnx_file(tiny: nn.Module, card: LeaderCard, tmp_path: Path, write) -> Path:
    write("onnx", tiny, card, tmp_path / "leader.onnx")
    return tmp_path / "leader.onnx"


def test_onnx_is_one_valid_file_with_a_free_batch_size(onnx_file: Path):
    model = onnx.load(onnx_file, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    (images,), (logits,) = model.graph.input, model.graph.output
    sides = [side.dim_param or side.dim_value for side in images.type.tensor_type.shape.dim]
    assert (images.name, sides, logits.name) == ("images", ["batch", 1, 8, 8], "logits")
    assert not any(weight.external_data for weight in model.graph.initializer)
    assert list(onnx_file.parent.iterdir()) == [onnx_file]


def test_onnx_has_batchnorm_folded_into_the_convolution(onnx_file: Path):
    operators = Counter(node.op_type for node in onnx.load(onnx_file).graph.node)
    assert operators["Conv"] == 1
    assert operators["BatchNormalization"] == 0


def test_onnx_normalises_pixels_itself(onnx_file: Path, tiny: nn.Module, digits: Tensor):
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    pixels = (digits.numpy() / 255).astype(np.float32)
    (logits,) = session.run(None, {"images": pixels})
    expected = tiny((torch.from_numpy(pixels) - 0.31) / 0.37)
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-5)


def test_a_leader_larger_than_the_limit_of_onnx_is_refused(
    tiny: nn.Module, card: LeaderCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write
):
    monkeypatch.setattr(onnx_format, "ONNX_LIMIT", 1000)
    with pytest.raises(ExportError, match="export it as safetensors or pt2"):
        write("onnx", tiny, card, tmp_path / "leader.onnx")
    assert not list(tmp_path.iterdir())


def test_an_operator_that_onnx_lacks_is_an_export_error(card: LeaderCard, tmp_path: Path, write):
    class Unconvertible(nn.Module):
        def forward(self, images):
            return torch.linalg.eigvalsh(images[:, 0])

    with pytest.raises(ExportError, match=r"cannot be converted to ONNX"):
        write("onnx", Unconvertible(), card, tmp_path / "leader.onnx")


def test_onnx_file_of_other_tools_is_refused(tmp_path: Path):
    kind = onnx.TensorProto.FLOAT
    node = onnx.helper.make_node("Relu", ["images"], ["logits"])
    ends = [onnx.helper.make_tensor_value_info(name, kind, [1, 2]) for name in ("images", "logits")]
    graph = onnx.helper.make_graph([node], "foreign", ends[:1], ends[1:])
    opset = onnx.helper.make_opsetid("", 18)
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[opset])
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match=r"foreign.onnx was not exported by peerdistill"):
        predict(tmp_path / "foreign.onnx", [])


FLOAT = onnx.TensorProto.FLOAT


def write_model(
    file: Path,
    nodes: list[onnx.NodeProto],
    *,
    images: tuple | None = ("batch", 1, 8, 8),
    logits: tuple | None = ("batch", 2),
    names: tuple[str, ...] = ("images", "logits"),
    kinds: tuple[int, int] = (FLOAT, FLOAT),
    more_inputs: tuple[str, ...] = (),
    weights: tuple[onnx.TensorProto, ...] = (),
    **changes: object,
) -> Path:
    """Write an ONNX file with a card of two classes; by default, the graph matches the card."""
    ends = [
        onnx.helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in zip(names, kinds, (images, logits), strict=True)
    ]
    extra = [onnx.helper.make_tensor_value_info(name, FLOAT, [1]) for name in more_inputs]
    graph = onnx.helper.make_graph(nodes, "graph", [ends[0], *extra], ends[1:], list(weights))
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[onnx.helper.make_opsetid("", 18)])
    card = LeaderCard("resnet8", ("a", "b"), 8, 1, (0.3,), (0.4,), 1.0).to_metadata()
    onnx.helper.set_model_props(model, card | {f"peerdistill.{key}": json.dumps(text) for key, text in changes.items()})
    file.write_bytes(model.SerializeToString())
    return file


def flattened(source: str = "images", target: str = "logits", width: int = 2) -> list[onnx.NodeProto]:
    """Return nodes that copy the first pixels of an image to its logits."""
    values = {"start": [0], "end": [width], "axis": [1]}
    constants = [onnx.helper.make_node("Constant", [], [key], value_ints=value) for key, value in values.items()]
    flat = onnx.helper.make_node("Flatten", [source], ["flat"])
    return [*constants, flat, onnx.helper.make_node("Slice", ["flat", "start", "end", "axis"], [target])]


def divided(count: float) -> list[onnx.NodeProto]:
    """Return nodes whose logits are not finite if the first pixels are black."""
    by = onnx.helper.make_node("Constant", [], ["by"], value_float=count)
    return [*flattened(target="plain"), by, onnx.helper.make_node("Div", ["by", "plain"], ["logits"])]


def pixel_file(folder: Path, value: int = 0) -> Path:
    Image.new("L", (8, 8), value).save(folder / "p.png")
    return folder / "p.png"


def test_a_graph_that_matches_its_card_is_run(tmp_path: Path):
    (found,) = predict(write_model(tmp_path / "m.onnx", flattened()), [pixel_file(tmp_path)])
    assert found.classes == ("a", "b")
    assert found.probabilities == (0.5, 0.5)


@pytest.mark.parametrize(
    ("nodes", "changes", "message"),
    [
        (flattened("x"), {"names": ("x", "logits")}, "must have one input 'images', found 'x'"),
        (flattened(target="y"), {"names": ("images", "y")}, "must have one output 'logits', found 'y'"),
        (flattened(), {"more_inputs": ("mask",)}, "must have one input 'images', found 'images', 'mask'"),
        (
            flattened(),
            {"images": ("batch", 3, 8, 8)},
            r"shape \(free, 1, 8, 8\), found tensor\(float\) of shape \(batch, 3",
        ),
        (flattened(), {"images": ("batch", 1, 9, 9)}, r"found tensor\(float\) of shape \(batch, 1, 9, 9\)"),
        (flattened(), {"images": (1, 1, 8, 8), "logits": (1, 2)}, r"found tensor\(float\) of shape \(1, 1, 8, 8\)"),
        (flattened(), {"images": ("batch", 64)}, r"found tensor\(float\) of shape \(batch, 64\)"),
        (
            flattened(),
            {"class_names": ["a", "b", "c"]},
            r"output 'logits' must be tensor\(float\) of shape \(free, 3\)",
        ),
        (flattened(), {"class_names": []}, "must have one output 'features', found 'logits'"),
        (flattened(), {"image_size": 16}, r"must be tensor\(float\) of shape \(free, 1, 16, 16\)"),
        (flattened(), {"image_size": 10**9}, "damaged leader card: image_size must be a whole number"),
        (
            flattened(width=5),
            {"logits": ("batch", "classes")},
            r"output 'logits' must be .* of shape \(free, 2\), found tensor\(float\) of shape \(batch, 5\)",
        ),
        (divided(1.0), {}, "gives logits that are not finite for 1 of 1 pictures"),
        (divided(0.0), {}, "gives logits that are not finite for 1 of 1 pictures"),
        (
            [
                onnx.helper.make_node("Flatten", ["images"], ["flat"]),
                onnx.helper.make_node("Cast", ["flat"], ["logits"], to=11),
            ],
            {"kinds": (FLOAT, onnx.TensorProto.DOUBLE), "logits": ("batch", 64)},
            r"found tensor\(double\)",
        ),
        (
            [onnx.helper.make_node("SplitToSequence", ["images"], ["logits"])],
            {"logits": None},
            "m.onnx",
        ),
    ],
)
def test_a_graph_that_does_not_match_its_card_is_refused(tmp_path: Path, nodes, changes: dict, message: str, capfd):
    file = write_model(tmp_path / "m.onnx", nodes, **changes)
    with pytest.raises(UserError, match=message) as error:
        predict(file, [pixel_file(tmp_path)])
    assert "m.onnx" in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")  # the runtime logs nothing


def test_an_error_while_a_graph_runs_is_reported_in_one_line(tmp_path: Path):
    # White pixels are the index of a column that does not exist.
    nodes = [
        *flattened(target="plain"),
        onnx.helper.make_node("Constant", [], ["large"], value_float=1000.0),
        onnx.helper.make_node("Mul", ["plain", "large"], ["columns"]),
        onnx.helper.make_node("Cast", ["columns"], ["whole"], to=onnx.TensorProto.INT64),
        onnx.helper.make_node("GatherElements", ["plain", "whole"], ["logits"], axis=1),
    ]
    file = write_model(tmp_path / "m.onnx", nodes)
    assert predict(file, [pixel_file(tmp_path)])
    with pytest.raises(UserError, match=r"m.onnx cannot score pictures: ") as error:
        predict(file, [pixel_file(tmp_path, 255)])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("location", ["beside.bin", "../outside.bin", "/etc/hostname", "link.bin"])
def test_weights_in_other_files_are_not_read(tmp_path: Path, location: str, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("beside.bin", "../outside.bin"):
        (folder / name).write_bytes(b"AAAAAAAA")
    (folder / "link.bin").symlink_to("../outside.bin")
    weight = onnx.TensorProto(name="w", data_type=FLOAT, dims=[2], data_location=onnx.TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "8")):
        weight.external_data.add(key=key, value=value)
    added = [*flattened(target="plain"), onnx.helper.make_node("Add", ["plain", "w"], ["logits"])]
    file = write_model(folder / "m.onnx", added, weights=(weight,))
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=r"m.onnx is not a model: cannot read it as onnx"):
        predict(file, [pixel_file(tmp_path)])
