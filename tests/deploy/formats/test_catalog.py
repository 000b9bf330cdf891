"""Formats by name and suffix, among them one from the user's own code: a file outside the package."""

import json
import os
import sys
from pathlib import Path

import pytest

from peerdistill import runs
from peerdistill.cli import main
from peerdistill.config import parse
from peerdistill.deploy import ExportError, export, formats, predict
from peerdistill.errors import UserError

ARRAYS = """
import numpy as np
import torch
from peerdistill import backbones
from peerdistill.deploy import LeaderCard
from peerdistill.deploy.formats import Format
from peerdistill.deploy.normalised import Normalised
from peerdistill.deploy.scorers import torch_scorer


def write(leader, path):
    card = {f"card/{name}": text for name, text in leader.card.to_metadata().items()}
    np.savez(path, **leader.network.state_dict(), **card)


def read(path):
    arrays = dict(np.load(path))
    metadata = {name.removeprefix("card/"): str(arrays.pop(name)) for name in list(arrays) if name.startswith("card/")}
    card = LeaderCard.from_metadata(metadata, path)
    network = backbones.build(card.backbone, classes=len(card.class_names), in_channels=card.channels).network()
    network.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
    return torch_scorer(Normalised(network, card.mean, card.std).eval()), card


FORMAT = Format("arrays", "NumPy arrays", ".npz", write, read)
"""


@pytest.fixture
def own_code(tmp_path, monkeypatch) -> Path:
    """The current folder, with a module that holds the format."""
    (tmp_path / "arrays_file.py").write_text(ARRAYS)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("arrays_file", None)


def test_export_and_predict_by_a_format_outside_the_package(own_code, resnet, card, digits, digit_files, reports):
    report = export(resnet, card, Path("leader.npz"), format="arrays_file:FORMAT", pictures=digits)
    assert (report.format, report.agreement) == ("arrays", 1.0)
    found = predict("leader.npz", digit_files, format="arrays_file:FORMAT")
    expected = predict(reports["onnx"].path, digit_files)
    for one, other in zip(found, expected, strict=True):
        assert one.classes == other.classes
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_a_wrong_file_of_such_a_format_is_refused(own_code, resnet, card, digits):
    module = own_code / "arrays_file.py"
    module.write_text(module.read_text().replace("card.mean, card.std)", "card.mean, (1.0,))"))
    with pytest.raises(ExportError, match="does not reproduce the leader"):
        export(resnet, card, Path("leader.npz"), format="arrays_file:FORMAT", pictures=digits)
    assert not Path("leader.npz").exists()


def test_the_command_line_takes_such_a_format(own_code, digit_files, capsys):
    words = ["digits", "--method", "baseline", "--peers", "1", "--backbone", "resnet8", "--epochs", "1"]
    runs.train(parse([*words, "--device", "cpu"])[0], "run")
    assert main(["export", "run", "--format", "arrays_file:FORMAT"]) == 0
    assert Path("run/leader.npz").is_file()
    capsys.readouterr()
    picture = str(digit_files[0])
    assert main(["predict", "run/leader.npz", picture, "--format", "arrays_file:FORMAT", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert main(["predict", "run", picture, "--json"]) == 0
    (expected,) = json.loads(capsys.readouterr().out)
    assert found["classes"] == expected["classes"]
    assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-5)


def test_a_file_in_the_folder_of_formats_adds_a_format(tmp_path, monkeypatch):
    (tmp_path / "arrays_format.py").write_text(ARRAYS)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    found = formats.discover()
    sys.modules.pop("peerdistill.deploy.formats.arrays_format", None)
    assert found["arrays"].suffix == ".npz"
    assert set(found) == {*formats.FORMATS, "arrays"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("arrays_file:NOTHING", "must be a peerdistill.deploy.formats.Format, found nothing"),
        ("arrays_file:write", "must be a peerdistill.deploy.formats.Format, found a function"),
        ("onxx", r"unknown export format 'onxx': did you mean onnx\?"),
        ("tflite", r"choose from onnx, pt2, safetensors, timm, web, int8, package.module:FORMAT"),
    ],
)
def test_names_that_are_not_formats_are_refused(own_code, name, message):
    with pytest.raises(UserError, match=message):
        formats.find(name)


def test_a_suffix_of_own_code_needs_the_name_of_its_format(own_code):
    with pytest.raises(UserError, match=r"allowed are .onnx, .pt2, .safetensors; .* by --format package.module:FORMAT"):
        predict("leader.npz", [])


def test_the_formats_of_the_package_have_different_default_names():
    names = [format.default_name for format in formats.FORMATS.values()]
    assert len(set(names)) == len(names)
    for format in (one for one in formats.FORMATS.values() if not one.is_folder):
        assert formats.format_of_file(Path(format.default_name)).open is format.open


def test_default_names_say_which_network_a_file_holds():
    assert formats.find("onnx").default_name_of("peer:1") == "peer1.onnx"
    assert formats.find("int8").default_name_of("ensemble") == "ensemble.int8.onnx"
    for format in formats.FORMATS.values():
        assert format.default_name_of("leader") == format.default_name


@pytest.mark.parametrize(
    ("name", "content", "message"),
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
def test_the_error_names_a_file_that_is_not_a_model(tmp_path: Path, name: str, content: bytes | None, message: str):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        predict(tmp_path / name, [], trust=True)


def test_a_folder_or_a_pipe_is_not_a_model(tmp_path: Path):
    (tmp_path / "folder.onnx").mkdir()
    os.mkfifo(tmp_path / "pipe.onnx")
    for name in ("folder.onnx", "pipe.onnx"):
        with pytest.raises(UserError, match=f"{name} is not a model: it is not a file"):
            predict(tmp_path / name, [])
