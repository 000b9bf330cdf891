import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from peerdistill.deploy import predict
from peerdistill.errors import UserError


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("leader.txt", b"hello", r"leader.txt is no model: found suffix '.txt', allowed are .onnx"),
        ("leader", b"hello", r"leader is no model: found suffix '', allowed are .onnx, .safetensors, .pt2"),
        ("leader.onnx", None, r"leader.onnx is no model: no such file"),
        ("leader.onnx", b"", r"leader.onnx is no model: not a readable .onnx file"),
        ("leader.onnx", b"hello", r"leader.onnx is no model: not a readable .onnx file"),
        ("leader.pt2", b"hello", r"leader.pt2 is no model: not a readable .pt2 file"),
        ("leader.safetensors", b"hello", r"leader.safetensors is no safetensors file"),
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
