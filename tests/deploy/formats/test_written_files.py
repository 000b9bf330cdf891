"""The files as other tools read them."""

import json
import os
import stat
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from peerdistill.deploy import ExportError, LeaderCard, export
from peerdistill.deploy.formats import FORMATS
from peerdistill.deploy.formats import onnx as onnx_format

EXACT = [name for name, format in FORMATS.items() if not format.needs_calibration]


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


def test_onnx_takes_plain_pixels(onnx_file: Path, tiny: nn.Module, digits: Tensor):
    session = onnxruntime.InferenceSession(onnx_file, providers=["CPUExecutionProvider"])
    pixels = (digits.numpy() / 255).astype(np.float32)
    (logits,) = session.run(None, {"images": pixels})
    expected = tiny((torch.from_numpy(pixels) - 0.31) / 0.37)
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-4, atol=1e-5)


def test_card_can_be_read_without_this_package(
    onnx_file: Path, tiny: nn.Module, card: LeaderCard, tmp_path: Path, write
):
    write("safetensors", tiny, card, tmp_path / "leader.safetensors")
    with safe_open(tmp_path / "leader.safetensors", framework="np") as file:
        in_safetensors = file.metadata()
    in_onnx = {pair.key: pair.value for pair in onnx.load(onnx_file).metadata_props}
    write("pt2", tiny, card, tmp_path / "leader.pt2")
    in_pt2 = {"peerdistill.class_names": ""}
    torch.export.load(tmp_path / "leader.pt2", extra_files=in_pt2)
    for metadata in (in_safetensors, in_onnx, in_pt2):
        assert json.loads(metadata["peerdistill.class_names"]) == list("0123456789")
        assert json.loads(metadata["peerdistill.std"]) == [0.37]


def test_safetensors_holds_the_state_dict_unchanged(tiny: nn.Module, card: LeaderCard, tmp_path: Path, write):
    write("safetensors", tiny, card, tmp_path / "leader.safetensors")
    with safe_open(tmp_path / "leader.safetensors", framework="pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = tiny.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("format", EXACT)
def test_files_have_the_permissions_that_the_umask_gives(
    tiny: nn.Module, card: LeaderCard, tmp_path: Path, format: str, write
):
    umask = os.umask(0o022)
    try:
        write(format, tiny, card, tmp_path / f"leader.{format}")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / f"leader.{format}").stat().st_mode) == 0o644


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_graphs_hold_no_paths_of_this_machine(tiny: nn.Module, card: LeaderCard, tmp_path: Path, format: str, write):
    file = tmp_path / f"leader.{format}"
    write(format, tiny, card, file)
    parts = [file.read_bytes()]
    if format == "pt2":
        with zipfile.ZipFile(file) as archive:
            parts = [archive.read(name) for name in archive.namelist()]
    assert not any(b"site-packages" in part for part in parts)


@pytest.mark.parametrize("format", ["onnx", "pt2"])
@pytest.mark.filterwarnings("error")
def test_exporters_of_torch_are_kept_silent(
    tiny: nn.Module,
    card: LeaderCard,
    digits: Tensor,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    format,
):
    export(tiny, card, tmp_path / f"leader.{format}", format=format, pictures=digits)
    assert capfd.readouterr() == ("", "")


def test_leader_beyond_the_limit_of_onnx_is_refused(
    tiny: nn.Module, card: LeaderCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write
):
    monkeypatch.setattr(onnx_format, "ONNX_LIMIT", 1000)
    with pytest.raises(ExportError, match="export it as safetensors or pt2"):
        write("onnx", tiny, card, tmp_path / "leader.onnx")
    assert not list(tmp_path.iterdir())


def test_operator_without_onnx_form_is_named(card: LeaderCard, tmp_path: Path, write):
    class Unconvertible(nn.Module):
        def forward(self, images):
            return torch.linalg.eigvalsh(images[:, 0])

    with pytest.raises(ExportError, match=r"cannot be converted to ONNX"):
        write("onnx", Unconvertible(), card, tmp_path / "leader.onnx")
