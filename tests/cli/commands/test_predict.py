import json
import shutil
import subprocess
import sys

import pytest

from peerdistill import runs
from peerdistill.runs import Run


def test_an_int8_leader_predicts_like_the_run(int8, at_home, digit_pictures, peerdistill):
    of_run, of_file = (
        json.loads(peerdistill("predict", model, *digit_pictures, "--json").stdout)
        for model in ("runs/digits", int8[0])
    )
    for expected, found in zip(of_run, of_file, strict=True):
        assert found["path"] == expected["path"]
        assert set(found["classes"]) == {"zero", "one", "two"}
        assert dict(zip(found["classes"], found["probabilities"], strict=True)) == pytest.approx(
            dict(zip(expected["classes"], expected["probabilities"], strict=True)), abs=0.1
        )


def test_a_run_and_its_exported_leader_predict_the_same(at_home, digit_pictures, peerdistill):
    of_run, of_file = (
        json.loads(peerdistill("predict", model, *digit_pictures, "--json").stdout)
        for model in ("runs/digits", "leader.onnx")
    )
    assert [found["path"] for found in of_run] == [str(file) for file in digit_pictures]
    for expected, found in zip(of_run, of_file, strict=True):
        assert set(found) == {"path", "classes", "probabilities"}
        assert found["classes"] == expected["classes"]
        assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)
        assert sum(found["probabilities"]) == pytest.approx(1.0)
        assert set(found["classes"]) == {"zero", "one", "two"}


def test_predict_gives_the_classes_that_evaluation_counts(at_home, digit_pictures, peerdistill):
    run = Run("runs/digits")
    data = runs.restore(run)
    predicted = json.loads(peerdistill("predict", run.path, *digit_pictures, "--json", "--top", "1").stdout)
    pixels, _ = runs.sample_pictures(run, 6)
    logits = data.scorer()((pixels.float() / 255).numpy())
    assert [found["classes"] for found in predicted] == [[data.card.class_names[row.argmax()]] for row in logits]


def test_predict_reports_unreadable_pictures_and_classifies_the_others(at_home, peerdistill):
    alone = peerdistill("predict", "leader.onnx", "photo.png", "--json")
    assert (alone.code, alone.stderr) == (0, "")
    outcome = peerdistill("predict", "leader.onnx", "none.png", "photo.png", "notes.jpg", "photos", "--json")
    assert outcome.code == 2
    assert json.loads(outcome.stdout) == json.loads(alone.stdout)
    lines = outcome.stderr.splitlines()
    assert [line.startswith("peerdistill: ") for line in lines] == [True] * 3
    assert all(name in line for name, line in zip(("none.png", "notes.jpg", "photos"), lines, strict=True))


def test_predict_shows_a_table(at_home, peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = peerdistill("predict", "leader.onnx", "photo.png", "--top", "2").stdout
    line = next(line for line in shown.splitlines() if "photo.png" in line)
    assert line.count("%") == 2


def test_predict_prints_names_literally(at_home, tmp_path, peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(at_home / "photo.png", "a[bold]b.png")
    assert "a[bold]b.png" in peerdistill("predict", at_home / "leader.onnx", "a[bold]b.png").stdout


def test_predict_from_onnx_does_not_import_torch(at_home):
    code = "import sys; from peerdistill.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    words = [sys.executable, "-c", code, "predict", "leader.onnx", "photo.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
