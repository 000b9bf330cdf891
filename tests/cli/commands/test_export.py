import json
import shutil
from pathlib import Path

import pytest
import torch

from peerdistill import deploy, runs
from peerdistill.runs import Run


def test_export_prints_its_check_as_json(peers, tmp_path, peerdistill):
    file = tmp_path / "leader.safetensors"
    outcome = peerdistill("export", peers[0], "--format", "safetensors", "--output", file, "--json")
    found = json.loads(outcome.stdout)
    assert set(found) == {"path", "format", "bytes", "samples", "largest_difference", "agreement"}
    assert (found["path"], found["format"], found["bytes"]) == (str(file), "safetensors", file.stat().st_size)
    assert found["agreement"] == 1.0
    assert found["largest_difference"] < 1e-3


def test_export_writes_into_the_run_by_default_and_reports_its_check(peers, tmp_path, peerdistill):
    run = tmp_path / "run"
    shutil.copytree(peers[0], run)
    outcome = peerdistill("export", run, "--checkpoint", "best")
    assert (run / "leader.onnx").is_file()
    text = " ".join(outcome.stdout.split())
    assert f"wrote {run}/leader.onnx" in text
    assert "best epoch 1" in text
    assert "test pictures: largest difference of logits" in text
    assert "same class on 100.00%" in text


def test_export_replaces_a_file_only_with_force(peers, tmp_path, peerdistill):
    file = tmp_path / "leader.safetensors"
    file.write_text("precious")
    words = ("export", peers[0], "--format", "safetensors", "--output", file)
    refused = peerdistill(*words)
    assert refused.code == 2
    assert refused.stderr == f"peerdistill: {file} exists: choose another name, or replace it with --force\n"
    assert file.read_text() == "precious"
    assert peerdistill(*words, "--force").code == 0
    assert file.read_bytes()[:8] != b"precious"


def test_export_int8_prints_its_check_as_json(int8, at_home):
    file, found = int8
    keys = {"path", "format", "bytes", "samples", "largest_difference", "agreement", "float_bytes", "calibrated_on"}
    assert set(found) == keys
    assert (found["path"], found["format"], found["bytes"]) == (str(file), "int8", file.stat().st_size)
    assert found["float_bytes"] == pytest.approx(Path("leader.onnx").stat().st_size, rel=0.01)
    assert found["bytes"] < 0.4 * found["float_bytes"]
    assert found["agreement"] >= 0.9
    data = runs.load_data(Run("runs/digits"))
    assert (found["samples"], found["calibrated_on"]) == (len(data.test), len(data.train))


def test_export_int8_reports_its_calibration(peers, tmp_path, peerdistill):
    outcome = peerdistill("export", peers[0], "--int8", "--output", tmp_path / "small.onnx")
    assert (outcome.code, outcome.stderr) == (0, "")
    text = " ".join(outcome.stdout.split())
    for words in (f"wrote {tmp_path}/small.onnx", "calibrated on", "training pictures", "same class as in float32"):
        assert words in text
    assert [file.name for file in tmp_path.iterdir()] == ["small.onnx"]


def test_a_user_network_is_exported_as_safetensors_and_loaded_again(home, tmp_path, peerdistill, monkeypatch):
    (tmp_path / "mynets_of_deployment.py").write_text(
        "from torch import nn\n"
        "def tiny(classes, in_channels=3):\n"
        "    body = nn.Conv2d(in_channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU()\n"
        "    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = "--backbone mynets_of_deployment:tiny --run run --epochs 1 --method baseline --peers 2 --sharing network"
    assert peerdistill("train", f"npz:{home}/digits.npz", *words.split()).code == 0
    outcome = peerdistill("export", "run", "--format", "safetensors")
    assert outcome.code == 0, outcome.stderr
    from mynets_of_deployment import tiny  # pyright: ignore[reportMissingImports]

    leader, card = deploy.load_leader("run/leader.safetensors", tiny(3, 1))
    expected = runs.restore(Run("run")).leader()
    images = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        normalised = (images - torch.tensor(card.mean)) / torch.tensor(card.std)
        torch.testing.assert_close(leader(images), expected(normalised))
