"""What holds for the files of every format."""

import json
import os
import stat
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from peerdistill.deploy import LeaderCard, export
from peerdistill.deploy.formats import FORMATS

EXACT = [name for name, format in FORMATS.items() if not (format.needs_calibration or format.is_folder)]


def test_other_tools_can_read_the_card(tiny: nn.Module, card: LeaderCard, tmp_path: Path, write):
    write("onnx", tiny, card, tmp_path / "leader.onnx")
    write("safetensors", tiny, card, tmp_path / "leader.safetensors")
    with safe_open(tmp_path / "leader.safetensors", framework="np") as file:
        in_safetensors = file.metadata()
    in_onnx = {pair.key: pair.value for pair in onnx.load(tmp_path / "leader.onnx").metadata_props}
    write("pt2", tiny, card, tmp_path / "leader.pt2")
    in_pt2 = {"peerdistill.class_names": ""}
    torch.export.load(tmp_path / "leader.pt2", extra_files=in_pt2)
    for metadata in (in_safetensors, in_onnx, in_pt2):
        assert json.loads(metadata["peerdistill.class_names"]) == list("0123456789")
        assert json.loads(metadata["peerdistill.std"]) == [0.37]


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
def test_graphs_contain_no_paths_of_this_machine(tiny: nn.Module, card: LeaderCard, tmp_path: Path, format: str, write):
    file = tmp_path / f"leader.{format}"
    write(format, tiny, card, file)
    parts = [file.read_bytes()]
    if format == "pt2":
        with zipfile.ZipFile(file) as archive:
            parts = [archive.read(name) for name in archive.namelist()]
    assert not any(b"site-packages" in part for part in parts)


@pytest.mark.parametrize("format", ["onnx", "pt2"])
@pytest.mark.filterwarnings("error")
def test_export_prints_nothing(
    tiny: nn.Module,
    card: LeaderCard,
    digits: Tensor,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    format,
):
    export(tiny, card, tmp_path / f"leader.{format}", format=format, pictures=digits)
    assert capfd.readouterr() == ("", "")
