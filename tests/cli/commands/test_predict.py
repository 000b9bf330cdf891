import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

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
    outcome = peerdistill("predict", "leader.onnx", "none.png", "photo.png", "notes.jpg", "--json")
    assert outcome.code == 2
    assert json.loads(outcome.stdout) == json.loads(alone.stdout)
    lines = outcome.stderr.splitlines()
    assert [line.startswith("peerdistill: ") for line in lines] == [True] * 2
    assert all(name in line for name, line in zip(("none.png", "notes.jpg"), lines, strict=True))


def test_predict_takes_folders_patterns_and_lists(at_home, tmp_path, peerdistill):
    (tmp_path / "list.txt").write_text("photos/dog\nphotos/cat/*.png\n")
    expected = [f"photos/{name}/{number}.png" for name in ("dog", "cat") for number in _numbers(name)]
    for words in (["photos/dog", "photos/cat"], ["photos/dog/*", "photos/cat"], [f"@{tmp_path / 'list.txt'}"]):
        found = json.loads(peerdistill("predict", "leader.onnx", *words, "--json").stdout)
        assert [picture["path"] for picture in found] == expected


def _numbers(name):
    return sorted(range(("cat", "dog").index(name), 12, 2), key=str)


def test_predict_goes_on_after_an_unreadable_picture_of_a_folder(at_home, peerdistill):
    outcome = peerdistill("predict", "leader.onnx", "broken", "--json")
    assert outcome.code == 2
    assert len(json.loads(outcome.stdout)) == 12
    assert "notes.png" in outcome.stderr


@pytest.mark.parametrize("top", [1, 2, 99])
def test_predict_writes_a_csv_file(at_home, tmp_path, peerdistill, top):
    file = tmp_path / "found.csv"
    words = ("predict", "leader.onnx", "photos", "--top", str(top))
    expected = json.loads(peerdistill(*words, "--json").stdout)
    outcome = peerdistill(*words, "--csv", file)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout == f"wrote {file} (12 pictures)\n"
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["path"] for row in rows] == [picture["path"] for picture in expected]
    for row, picture in zip(rows, expected, strict=True):
        ranks = ["", "_2", "_3"][:top]
        assert set(row) == {"path", *(name + rank for name in ("predicted", "probability") for rank in ranks)}
        assert [row[f"predicted{rank}"] for rank in ranks] == picture["classes"]
        assert [float(row[f"probability{rank}"]) for rank in ranks] == pytest.approx(picture["probabilities"], abs=1e-6)


def test_predict_keeps_any_file_name_in_csv(at_home, tmp_path, peerdistill, monkeypatch):
    names = [b'a,"b".png', b"not \xff utf-8.png"]
    for name in names:
        shutil.copyfile(at_home / "photo.png", tmp_path / os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    assert peerdistill("predict", at_home / "leader.onnx", ".", "--csv", "found.csv").code == 0
    with Path("found.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
        assert [os.fsencode(row["path"]) for row in csv.DictReader(lines)] == names


def test_predict_shows_a_bar_on_a_terminal_for_many_pictures(at_home, tmp_path, peerdistill, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # the console then takes stderr for a terminal
    (tmp_path / "few.txt").write_text("photo.png\n" * 300)
    (tmp_path / "many.txt").write_text("photo.png\n" * 301)
    assert "300 of 300" not in peerdistill("predict", "leader.onnx", f"@{tmp_path}/few.txt").stderr
    assert "301 of 301 pictures" in peerdistill("predict", "leader.onnx", f"@{tmp_path}/many.txt").stderr


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
