import csv
import json
import shutil
from pathlib import Path

import pytest
from sklearn.metrics import confusion_matrix

from peerdistill import runs
from peerdistill.runs import Run

PLOTS = ("confusion", "mistakes", "reliability")
ALONE = ("--backbone", "resnet8", "--peers", "1", "--epochs", "1", "--method", "baseline")


@pytest.mark.parametrize("checkpoint", ["last", "best"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluate_prints_the_promised_keys(peers, peerdistill, checkpoint, split):
    path, trained = peers
    outcome = peerdistill("evaluate", path, "--json", "--checkpoint", checkpoint, "--split", split)
    found = json.loads(outcome.stdout)
    assert (found.pop("checkpoint"), found.pop("split")) == (checkpoint, split)
    for predictor in ("leader", "ensemble"):
        reported = [found[predictor].pop(name) for name in ("balanced_accuracy", "ece", "per_class", "confusion")]
        per_class, confusion = reported[2:]
        assert list(per_class) == ["zero", "one", "two"]
        assert [rates["support"] for rates in per_class.values()] == [sum(row) for row in confusion]
        correct = sum(confusion[k][k] for k in range(3))
        assert 100 * correct / found["samples"] == pytest.approx(found[predictor]["top1"])
    assert found == json.loads(trained.stdout)[checkpoint][split]


def test_evaluate_writes_a_line_for_every_picture_that_agrees_with_the_json(peers, tmp_path, peerdistill):
    file = tmp_path / "pictures.csv"
    found = json.loads(peerdistill("evaluate", peers[0], "--json", "--csv", file).stdout)
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["index"] for row in rows] == [str(number) for number in range(found["samples"])]
    names = list(found["leader"]["per_class"])
    for predictor, prefix in (("leader", ""), ("ensemble", "ensemble_")):
        true, predicted = ([row[column] for row in rows] for column in ("true", f"{prefix}predicted"))
        assert confusion_matrix(true, predicted, labels=names).tolist() == found[predictor]["confusion"]
        assert [row[f"{prefix}correct"] for row in rows] == [
            str(int(a == b)) for a, b in zip(true, predicted, strict=True)
        ]
        assert all(1 / 3 <= float(row[f"{prefix}probability"]) <= 1 for row in rows)


def test_evaluate_names_pictures_by_path_and_predict_agrees(at_home, tmp_path, peerdistill):
    file = tmp_path / "pictures.csv"
    outcome = peerdistill("evaluate", "runs/divided", "--split", "val", "--csv", file)
    assert outcome.stdout.endswith(f"wrote {file}\n")
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["path", "true", "predicted", "probability", "correct"]  # a run of one peer
    paths = [row["path"] for row in rows]
    assert {Path(path).parent.name for path in paths} == {"cat", "dog"}
    predicted = json.loads(peerdistill("predict", "runs/divided", *paths, "--top", "1", "--json").stdout)
    assert [row["predicted"] for row in rows] == [found["classes"][0] for found in predicted]
    expected = [found["probabilities"][0] for found in predicted]
    assert [float(row["probability"]) for row in rows] == pytest.approx(expected, abs=1e-4)


def test_evaluate_shows_balanced_accuracy_and_the_worst_classes(peers, peerdistill):
    found = json.loads(peerdistill("evaluate", peers[0], "--json").stdout)
    text = peerdistill("evaluate", peers[0]).stdout
    balanced = [f"{name} {100 * found[name]['balanced_accuracy']:.2f} %" for name in ("leader", "ensemble")]
    assert f"balanced accuracy, last epoch: {', '.join(balanced)}" in text
    worst = min(found["leader"]["per_class"].items(), key=lambda item: item[1]["recall"])
    if worst[1]["recall"] < 1:
        assert f"lowest recall of the leader: {worst[0]}: {100 * worst[1]['recall']:.1f} % of" in text


def test_evaluate_scores_the_average_of_the_peers(peers, peerdistill):
    found = json.loads(peerdistill("evaluate", peers[0], "--average", "--json").stdout)
    assert found["average"] == runs.evaluator_of(Run(peers[0])).average().as_dict()
    text = peerdistill("evaluate", peers[0], "--average").stdout
    row = next(line.split() for line in text.splitlines() if "average" in line.split())
    for which in ("last", "best"):
        assert f"{runs.evaluator_of(Run(peers[0])).average(which).top1:.2f}" in row


def test_evaluate_writes_plots(peers, tmp_path, peerdistill):
    folder = tmp_path / "new" / "plots"
    outcome = peerdistill("evaluate", peers[0], "--pictures", folder)
    assert (outcome.code, outcome.stderr) == (0, "")
    files = [folder / f"{who}_{what}.png" for who in ("leader", "ensemble") for what in PLOTS]
    assert outcome.stdout.splitlines()[-6:] == [f"wrote {file}" for file in files]
    assert sorted(folder.iterdir()) == sorted(files)


def test_evaluate_takes_the_last_epoch_and_the_test_split(peers, peerdistill):
    found = json.loads(peerdistill("evaluate", peers[0], "--json").stdout)
    assert (found["checkpoint"], found["split"]) == ("last", "test")


def test_evaluate_takes_validation_images_if_there_are_no_test_images_and_warns(at_home, peerdistill):
    outcome = peerdistill("evaluate", "runs/divided", "--json")
    assert outcome.code == 0
    assert outcome.stderr == (
        "peerdistill: the data of runs/divided has no test split: evaluated on validation images\n"
    )
    assert json.loads(outcome.stdout) == json.loads(
        peerdistill("evaluate", "runs/divided", "--split", "val", "--json").stdout
    )
    assert "validation images" in " ".join(peerdistill("evaluate", "runs/divided").stdout.split())


def test_evaluate_shows_the_best_epoch_beside_the_last(peers, peerdistill):
    text = " ".join(peerdistill("evaluate", peers[0]).stdout.split())
    assert text.index("last epoch") < text.index("best epoch on validation")
    assert "test images" in text
    best_first = " ".join(peerdistill("evaluate", peers[0], "--checkpoint", "best", "--split", "val").stdout.split())
    assert best_first.index("best epoch on validation") < best_first.index("last epoch")
    assert "validation images" in best_first


def test_top5_is_reported_for_6_classes_or_more(peers, tmp_path, peerdistill):
    assert "top5" not in json.loads(peerdistill("evaluate", peers[0], "--json").stdout)["leader"]
    outcome = peerdistill("train", "digits", "--json", "--run", tmp_path / "run", *ALONE, "--batch_size", "256")
    found = json.loads(outcome.stdout)
    leader = found["last"]["test"]["leader"]
    assert leader["top1"] <= leader["top5"] <= 100
    assert "(top-5 " in peerdistill("evaluate", tmp_path / "run").stdout


def test_pictures_that_changed_since_training_are_detected(home, peerdistill, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("divided", "runs/divided"):
        shutil.copytree(home / name, tmp_path / name)
    file = Path("runs/divided/config.yaml")
    file.write_text(file.read_text().replace(str(home / "divided"), str(tmp_path / "divided")))
    whole = peerdistill("evaluate", "runs/divided", "--split", "val", "--json")
    assert (whole.code, whole.stderr) == (0, "")
    picture = Path("divided/val/cat/0.png")
    picture.write_bytes(Path("divided/val/dog/1.png").read_bytes())
    replaced = peerdistill("evaluate", "runs/divided", "--split", "val", "--json")
    sentence = "the validation images have changed since the run was started"
    assert (replaced.code, replaced.stderr) == (0, f"peerdistill: {sentence}\n")
    resumed = peerdistill("train", "--resume", "--run", "runs/divided")
    assert resumed.code == 2
    assert resumed.stderr.startswith("peerdistill: the validation images, which select the best epoch, have changed")
    picture.write_text("no picture")
    spoilt = peerdistill("evaluate", "runs/divided", "--split", "val", "--json")
    assert spoilt.code == 0
    assert "1 unreadable picture is left out: '" in spoilt.stderr
    assert sentence in spoilt.stderr
    Path("divided/train/cat/0.png").write_bytes(Path("divided/train/dog/1.png").read_bytes())
    other = peerdistill("evaluate", "runs/divided", "--split", "val")
    assert (other.code, other.stderr.splitlines()[-1]) == (
        2,
        "peerdistill: the training images have changed since the run was started",
    )
