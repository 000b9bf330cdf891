import json
import os
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from peerdistill.deploy import LeaderCard, predict
from peerdistill.errors import UserError


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("leader.txt", b"hello", r"leader.txt is not a model: found suffix '.txt', allowed are .onnx"),
        ("leader", b"hello", r"leader is not a model: found suffix '', allowed are .onnx, .pt2, .safetensors"),
        ("leader.onnx", None, r"leader.onnx is not a model: it does not exist"),
        ("leader.onnx", b"", r"leader.onnx is not a model: cannot read it as onnx"),
        ("leader.onnx", b"hello", r"leader.onnx is not a model: cannot read it as onnx"),
        ("leader.pt2", b"hello", r"leader.pt2 is not a model: cannot read it as pt2"),
        ("leader.safetensors", b"hello", r"leader.safetensors is not a safetensors file"),
    ],
)
def test_file_that_is_no_model_is_named(tmp_path: Path, name: str, content: bytes | None, told: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told):
        predict(tmp_path / name, [])


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


def test_foreign_pt2_is_refused_before_it_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    program = torch.export.export(nn.ReLU(), (torch.zeros(2),))
    torch.export.save(program, tmp_path / "foreign.pt2")
    with zipfile.ZipFile(tmp_path / "foreign.pt2") as archive:
        assert archive.testzip() is None
    monkeypatch.setattr(torch.export, "load", lambda path: pytest.fail("unpickled a foreign file"))
    with pytest.raises(UserError, match=r"foreign.pt2 was not exported by peerdistill"):
        predict(tmp_path / "foreign.pt2", [])


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
    """Write an ONNX file with a card of two classes, by default one whose card is true."""
    ends = [
        onnx.helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in zip(names, kinds, (images, logits), strict=True)
    ]
    extra = [onnx.helper.make_tensor_value_info(name, FLOAT, [1]) for name in more_inputs]
    graph = onnx.helper.make_graph(nodes, "graph", [ends[0], *extra], ends[1:], list(weights))
    model = onnx.helper.make_model(graph, ir_version=9, opset_imports=[onnx.helper.make_opsetid("", 18)])
    card = LeaderCard("resnet20", ("a", "b"), 8, 1, (0.3,), (0.4,), 1.0).to_metadata()
    onnx.helper.set_model_props(model, card | {f"peerdistill.{key}": json.dumps(text) for key, text in changes.items()})
    file.write_bytes(model.SerializeToString())
    return file


def flattened(source: str = "images", target: str = "logits", width: int = 2) -> list[onnx.NodeProto]:
    """The first pixels of an image as its logits."""
    values = {"start": [0], "end": [width], "axis": [1]}
    constants = [onnx.helper.make_node("Constant", [], [key], value_ints=value) for key, value in values.items()]
    flat = onnx.helper.make_node("Flatten", [source], ["flat"])
    return [*constants, flat, onnx.helper.make_node("Slice", ["flat", "start", "end", "axis"], [target])]


def divided(count: float) -> list[onnx.NodeProto]:
    """Logits that are not finite where the first pixels are black."""
    by = onnx.helper.make_node("Constant", [], ["by"], value_float=count)
    return [*flattened(target="plain"), by, onnx.helper.make_node("Div", ["by", "plain"], ["logits"])]


def pixel_file(folder: Path, value: int = 0) -> Path:
    Image.new("L", (8, 8), value).save(folder / "p.png")
    return folder / "p.png"


def test_the_written_model_is_taken_while_its_card_is_true(tmp_path: Path):
    (found,) = predict(write_model(tmp_path / "m.onnx", flattened()), [pixel_file(tmp_path)])
    assert found.classes == ("a", "b")
    assert found.probabilities == (0.5, 0.5)


@pytest.mark.parametrize(
    ("nodes", "changes", "told"),
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
def test_a_graph_that_is_not_what_its_card_says_is_refused(tmp_path: Path, nodes, changes: dict, told: str, capfd):
    file = write_model(tmp_path / "m.onnx", nodes, **changes)
    with pytest.raises(UserError, match=told) as error:
        predict(file, [pixel_file(tmp_path)])
    assert "m.onnx" in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")  # the runtime itself is silent


def test_a_graph_that_fails_while_it_runs_is_told_in_one_sentence(tmp_path: Path):
    # White pixels name a column that is not there.
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


def test_a_pt2_file_that_unpacks_to_more_than_it_holds_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "bomb.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/extra/peerdistill.card", b"1" * 50_000_000)
    with pytest.raises(UserError, match=r"bomb.pt2 is not a model: its parts take 50000000 bytes in a file of "):
        predict(tmp_path / "bomb.pt2", [])


def test_a_pt2_file_with_a_card_and_no_program_is_refused(tmp_path: Path, card: LeaderCard):
    with zipfile.ZipFile(tmp_path / "empty.pt2", "w") as archive:
        for key, text in card.to_metadata().items():
            archive.writestr(f"empty/extra/{key}", text)
    with pytest.raises(UserError, match=r"empty.pt2 is not a model: cannot read it as pt2") as error:
        predict(tmp_path / "empty.pt2", [])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "program",
    [nn.Flatten(), nn.Identity(), nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), nn.Linear(9, 2)],
    ids=["64 logits", "no row", "3 logits", "does not run"],
)
def test_a_pt2_program_that_is_not_what_its_card_says_is_refused(tmp_path: Path, program: nn.Module):
    card = LeaderCard("resnet20", ("a", "b"), 8, 1, (0.3,), (0.4,), 1.0)
    images = torch.zeros(2, 1, 8, 9 if isinstance(program, nn.Linear) else 8)
    exported = torch.export.export(program, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    torch.export.save(exported, tmp_path / "m.pt2", extra_files=card.to_metadata())
    with pytest.raises(UserError, match=r"m.pt2 (gives|must give|cannot score)"):
        predict(tmp_path / "m.pt2", [pixel_file(tmp_path)])


@pytest.mark.parametrize(
    "content",
    [
        (2**40).to_bytes(8, "little") + b"{}",
        (8).to_bytes(8, "little") + b'{"a": 1}',
        (2).to_bytes(8, "little") + b"{}",
        (64).to_bytes(8, "little") + json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}).encode(),
        b"\x00" * 7,
        (3).to_bytes(8, "little") + b"\xff\xfe\xfd",
    ],
)
def test_safetensors_with_a_broken_header_are_refused(tmp_path: Path, content: bytes):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(
        UserError, match=r"m.safetensors (is not a safetensors file|was not exported by peerdistill)"
    ) as error:
        predict(tmp_path / "m.safetensors", [])
    assert "\n" not in str(error.value)


def test_a_folder_or_a_pipe_is_no_model(tmp_path: Path):
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    for name in ("folder.onnx", "pipe.onnx"):
        with pytest.raises(UserError, match=f"{name} is not a model: it is not a file"):
            predict(tmp_path / name, [])
