import json
import shutil
from pathlib import Path

import pytest

ALONE = ("--backbone", "resnet8", "--peers", "1", "--epochs", "1", "--method", "baseline")


@pytest.mark.parametrize("checkpoint", ["last", "best"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluate_prints_the_promised_keys(peers, peerdistill, checkpoint, split):
    path, trained = peers
    outcome = peerdistill("evaluate", path, "--json", "--checkpoint", checkpoint, "--split", split)
    found = json.loads(outcome.stdout)
    assert (found.pop("checkpoint"), found.pop("split")) == (checkpoint, split)
    assert found == json.loads(trained.stdout)[checkpoint][split]


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
