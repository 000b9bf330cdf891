import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from peerdistill import deploy, runs
from peerdistill.evaluation import calibrated_temperature
from peerdistill.runs import Run


def test_export_prints_its_check_as_json(peers, tmp_path, peerdistill):
    file = tmp_path / "leader.safetensors"
    outcome = peerdistill("export", peers[0], "--format", "safetensors", "--output", file, "--json")
    found = json.loads(outcome.stdout)
    assert set(found) == {"path", "format", "bytes", "samples", "largest_difference", "agreement"}
    assert (found["path"], found["format"], found["bytes"]) == (str(file), "safetensors", file.stat().st_size)
    assert found["agreement"] == 1.0
    assert found["largest_difference"] < 1e-3


def test_the_ensemble_is_one_file_that_predict_reads(peers, tmp_path, digit_pictures, peerdistill):
    run = tmp_path / "run"
    shutil.copytree(peers[0], run)
    found = json.loads(peerdistill("export", run, "--what", "ensemble", "--json").stdout)
    assert found["path"] == str(run / "ensemble.onnx")
    of_file = json.loads(peerdistill("predict", found["path"], *digit_pictures, "--json").stdout)
    of_run = json.loads(peerdistill("predict", run, *digit_pictures, "--what", "ensemble", "--json").stdout)
    of_leader = json.loads(peerdistill("predict", run, *digit_pictures, "--json").stdout)
    assert [one["classes"] for one in of_file] == [one["classes"] for one in of_run]
    for one, other in zip(of_file, of_run, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-4)
    assert [one["probabilities"] for one in of_leader] != [one["probabilities"] for one in of_run]


@pytest.mark.usefixtures("with_runtime")
def test_the_page_of_an_ensemble_says_how_to_serve_it_and_predict_reads_it(
    peers, tmp_path, digit_pictures, peerdistill
):
    site = tmp_path / "my site"
    printed = peerdistill("export", peers[0], "--what", "ensemble", "--format", "web", "--output", site).stdout
    assert printed.splitlines()[-1].endswith(f"python -m http.server --directory '{site}'")
    assert json.loads((site / "leader-card.json").read_text())["name"] == "the ensemble"
    of_site = json.loads(peerdistill("predict", site, *digit_pictures, "--json").stdout)
    of_run = json.loads(peerdistill("predict", peers[0], *digit_pictures, "--what", "ensemble", "--json").stdout)
    assert [one["classes"] for one in of_site] == [one["classes"] for one in of_run]
    assert of_site[0]["probabilities"] == pytest.approx(of_run[0]["probabilities"], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--what", "soup"), "network to deploy"),
        (("--what", "peer:2"), "peer:2 does not exist: the run has the peers 0 to 1"),
        (("--what", "ensemble", "--format", "safetensors"), "safetensors holds one stock network, and an ensemble is"),
    ],
)
def test_a_network_that_cannot_be_exported(peers, words, message, tmp_path, peerdistill):
    outcome = peerdistill("export", peers[0], "--output", tmp_path / "file.safetensors", *words)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "safetensors", "pt2", "int8"])
def test_calibrated_probabilities_are_those_of_divided_logits(peers, tmp_path, digit_pictures, peerdistill, format):
    suffix = deploy.formats.find(format).suffix
    files = {name: tmp_path / f"{name}{suffix}" for name in ("plain", "calibrated")}
    words = ("export", peers[0], "--format", format, "--json", "--output")
    plain = json.loads(peerdistill(*words, files["plain"]).stdout)
    outcome = peerdistill(*words, files["calibrated"], "--calibrate")
    found = json.loads(outcome.stdout)
    calibration = found.pop("calibration")
    assert set(found) == set(plain)
    temperature = calibration["temperature"]
    cards = {name: deploy.open_scorer(file, trust=True)[1] for name, file in files.items()}
    assert cards["plain"].temperature is None
    assert cards["calibrated"] == replace(cards["plain"], temperature=temperature)
    found = [deploy.predict(file, digit_pictures, trust=True) for file in files.values()]
    for before, after in zip(*found, strict=True):
        assert before.classes == after.classes
        powers = np.array(before.probabilities) ** (1 / temperature)
        assert after.probabilities == pytest.approx(powers / powers.sum(), abs=1e-4)


def test_the_temperature_is_fitted_on_the_validation_images(peers, tmp_path, peerdistill):
    file = tmp_path / "leader.onnx"
    outcome = peerdistill("export", peers[0], "--output", file, "--calibrate", "--json")
    found = json.loads(outcome.stdout)["calibration"]
    run = Run(peers[0])
    report = runs.evaluator_of(run, "val").report().report.leader
    assert found["images"] == len(report.labels)
    assert found["ece_before"] == report.ece
    temperature = calibrated_temperature(report.logits, report.labels)
    assert found["temperature"] == temperature
    divided = replace(report, logits=report.logits / np.float32(temperature))
    assert found["ece_after"] == pytest.approx(divided.ece)
    text = peerdistill("export", peers[0], "--output", file, "--calibrate", "--force").stdout
    where = f"the {len(report.labels)} validation pictures that chose it"
    assert f"temperature {temperature:.4f}; calibration error on {where}: " in text


def test_calibration_without_validation_images_is_refused(home, tmp_path, peerdistill):
    path = tmp_path / "run"
    words = ("--method", "baseline", "--peers", "1", "--backbone", "resnet8", "--epochs", "1", "--validation", "0")
    assert peerdistill("train", f"npz:{home}/digits.npz", "--run", path, *words, "--batch_size", "32").code == 0
    outcome = peerdistill("export", path, "--calibrate")
    assert outcome.code == 2
    assert outcome.stderr == (
        f"peerdistill: --calibrate needs validation images, and the data of {path} has none: train with --validation, "
        "or leave out --calibrate\n"
    )
    assert not list(path.glob("leader*"))


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
