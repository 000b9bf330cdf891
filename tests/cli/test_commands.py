import io
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

from peerdistill import deploy, runs
from peerdistill import methods as catalogue
from peerdistill.cli import main, tables
from peerdistill.errors import PeerdistillWarning
from peerdistill.runs import Run

QUICK = ("--backbone", "resnet8x4", "--peers", "2", "--epochs", "1", "--batch_size", "32", "--contrast.count", "8")
ALONE = ("--backbone", "resnet8", "--peers", "1", "--epochs", "1", "--method", "baseline")


@pytest.fixture(scope="module")
def peers(home, tmp_path_factory, peerdistill):
    """A run of two peers on digits, and what was printed of it as JSON."""
    path = tmp_path_factory.mktemp("runs") / "peers"
    return path, peerdistill("train", f"npz:{home}/digits.npz", "--run", path, "--json", *QUICK)


@pytest.fixture(scope="module")
def digit_pictures(home, tmp_path_factory) -> list[Path]:
    """Test images of the digits as picture files."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels, split = runs.sample_pictures(Run(home / "runs/digits"), 6)
    assert split == "test"
    files = [folder / f"{number}.png" for number in range(len(pixels))]
    for file, picture in zip(files, pixels, strict=True):
        Image.fromarray(picture[0].numpy()).save(file)
    return files


def assert_accuracies(found: dict, peers: int) -> None:
    assert {"samples", "peers", "leader", "ensemble"} <= set(found)
    assert len(found["peers"]) == peers
    assert found["leader"] == found["peers"][-1]
    for voter in (*found["peers"], found["ensemble"]):
        assert 0 <= voter["top1"] <= 100


def test_train_prints_its_result_as_json_and_progress_beside_it(peers):
    path, outcome = peers
    assert outcome.code == 0
    found = json.loads(outcome.stdout)
    assert found["run"] == str(path)
    assert found == {"run": str(path), **json.loads((path / "result.json").read_text())}
    for epoch in (found["last"], found["best"]):
        assert_accuracies(epoch["test"], peers=2)
        assert_accuracies(epoch["val"], peers=2)
    assert "epoch 1/1" in outcome.stderr
    assert "mcl-okd: 2 x resnet8x4, copies of each stage [1, 1, 2, 2]" in outcome.stderr


def test_train_says_where_the_run_is_and_which_epoch_is_which(at_home, tmp_path, peerdistill):
    outcome = peerdistill("train", "npz:digits.npz", "--run", tmp_path / "my run", *QUICK)
    assert outcome.code == 0
    text = " ".join(outcome.stdout.split())
    assert f"next: peerdistill export '{tmp_path}/my run' --format onnx" in text
    for words in (
        "top-1 accuracy on test images",
        "last epoch (1)",
        "best epoch on validation (1)",
        "leader",
        "ensemble",
    ):
        assert words in text


def test_a_folder_of_a_built_in_name_is_noted_and_not_taken(tmp_path, monkeypatch, peerdistill):
    (tmp_path / "cifar10").mkdir()
    monkeypatch.chdir(tmp_path)
    note, error = peerdistill("train", "cifar10").stderr.splitlines()
    assert note == "peerdistill: 'cifar10' is the built-in data of that name: write ./cifar10 for the folder beside it"
    assert "--download fetches it" in error


def test_train_goes_to_a_folder_of_its_own_by_default(home, tmp_path, monkeypatch, peerdistill):
    monkeypatch.chdir(tmp_path)
    assert peerdistill("train", f"npz:{home}/digits.npz", *QUICK).code == 0
    Run("runs/digits-mcl-okd-resnet8x4").require()


def test_train_leaves_out_unreadable_pictures_and_counts_them(at_home, tmp_path, peerdistill):
    few = ("--image_size", "16", "--workers", "0", "--batch_size", "4")
    outcome = peerdistill("train", "broken", "--skip_unreadable", "--json", "--run", tmp_path / "run", *ALONE, *few)
    assert json.loads(outcome.stdout)["skipped_pictures"] == 1
    assert "1 unreadable pictures left out" in outcome.stderr


def test_a_run_that_diverges_is_no_mistake_of_the_command_line(at_home, tmp_path, peerdistill):
    too_fast = ("--lr", "1000", "--optimizer.weight_decay", "1000", "--batch_size", "8")
    outcome = peerdistill("train", "npz:digits.npz", "--run", tmp_path / "run", *ALONE, *too_fast)
    assert outcome.code == 1
    assert outcome.stderr.startswith("peerdistill: the ")
    assert "not finite" in outcome.stderr
    assert "checkpoint" in outcome.stderr


@pytest.mark.parametrize("checkpoint", ["last", "best"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluate_prints_the_promised_keys(peers, peerdistill, checkpoint, split):
    path, trained = peers
    outcome = peerdistill("evaluate", path, "--json", "--checkpoint", checkpoint, "--split", split)
    found = json.loads(outcome.stdout)
    assert (found.pop("checkpoint"), found.pop("split")) == (checkpoint, split)
    assert_accuracies(found, peers=2)
    assert found == json.loads(trained.stdout)[checkpoint][split]


def test_evaluate_takes_the_last_epoch_and_the_test_split(peers, peerdistill):
    found = json.loads(peerdistill("evaluate", peers[0], "--json").stdout)
    assert (found["checkpoint"], found["split"]) == ("last", "test")


def test_evaluate_takes_validation_images_where_there_are_no_test_images_and_says_so(at_home, peerdistill):
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


def test_top5_is_told_from_6_classes_up(peers, tmp_path, peerdistill):
    assert "top5" not in json.loads(peerdistill("evaluate", peers[0], "--json").stdout)["leader"]
    outcome = peerdistill("train", "digits", "--json", "--run", tmp_path / "run", *ALONE, "--batch_size", "256")
    found = json.loads(outcome.stdout)
    leader = found["last"]["test"]["leader"]
    assert leader["top1"] <= leader["top5"] <= 100
    assert "(top-5 " in peerdistill("evaluate", tmp_path / "run").stdout


def test_export_prints_its_check_as_json(peers, tmp_path, peerdistill):
    file = tmp_path / "leader.safetensors"
    outcome = peerdistill("export", peers[0], "--format", "safetensors", "--output", file, "--json")
    found = json.loads(outcome.stdout)
    assert set(found) == {"path", "format", "bytes", "samples", "largest_difference", "agreement"}
    assert (found["path"], found["format"], found["bytes"]) == (str(file), "safetensors", file.stat().st_size)
    assert found["agreement"] == 1.0
    assert found["largest_difference"] < 1e-3


def test_export_goes_into_the_run_by_default_and_tells_its_check(peers, tmp_path, peerdistill):
    run = tmp_path / "run"
    shutil.copytree(peers[0], run)
    outcome = peerdistill("export", run, "--checkpoint", "best")
    assert (run / "leader.onnx").is_file()
    text = " ".join(outcome.stdout.split())
    assert f"wrote {run}/leader.onnx" in text
    assert "best epoch 1" in text
    assert "test pictures: largest difference of logits" in text
    assert "same class on 100.00%" in text


def test_export_replaces_a_file_only_by_force(peers, tmp_path, peerdistill):
    file = tmp_path / "leader.safetensors"
    file.write_text("precious")
    words = ("export", peers[0], "--format", "safetensors", "--output", file)
    refused = peerdistill(*words)
    assert refused.code == 2
    assert refused.stderr == f"peerdistill: {file} exists: choose another name, or replace it with --force\n"
    assert file.read_text() == "precious"
    assert peerdistill(*words, "--force").code == 0
    assert file.read_bytes()[:8] != b"precious"


@pytest.fixture(scope="module")
def int8(home, tmp_path_factory, peerdistill) -> tuple[Path, dict]:
    """The int8 leader of a run on digits, in a copy of it, and what was printed of it as JSON."""
    run = tmp_path_factory.mktemp("runs") / "digits"
    shutil.copytree(home / "runs/digits", run)
    outcome = peerdistill("export", run, "--int8", "--json")
    assert outcome.code == 0, outcome.stderr
    return run / "leader.int8.onnx", json.loads(outcome.stdout)


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


def test_export_int8_tells_what_calibrated_it(peers, tmp_path, peerdistill):
    outcome = peerdistill("export", peers[0], "--int8", "--output", tmp_path / "small.onnx")
    assert (outcome.code, outcome.stderr) == (0, "")
    text = " ".join(outcome.stdout.split())
    for words in (f"wrote {tmp_path}/small.onnx", "calibrated on", "training pictures", "same class as in float32"):
        assert words in text
    assert [file.name for file in tmp_path.iterdir()] == ["small.onnx"]


def test_an_int8_leader_predicts_as_any_other(int8, at_home, digit_pictures, peerdistill):
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


def test_bench_leader_prints_the_promised_keys(peers, peerdistill):
    found = json.loads(peerdistill("bench-leader", peers[0], "--checkpoint", "best", "--repeats", "1", "--json").stdout)
    assert set(found) == {"run", "checkpoint", "epoch", "repeats", "machine", "test", "forms"}
    assert (found["run"], found["checkpoint"], found["epoch"], found["repeats"]) == (str(peers[0]), "best", 1, 1)
    assert {"processor", "cores", "int8_instructions", "threads", "load_average", "packages"} <= set(found["machine"])
    assert list(found["forms"]) == ["pytorch", "onnx", "int8"]
    for form in found["forms"].values():
        assert set(form) == {"bytes", "accuracy", "milliseconds"}
        assert set(form["milliseconds"]) == {"1", "64"}
        assert all(time > 0 for time in form["milliseconds"].values())
    expected = json.loads(peers[1].stdout)["best"]["test"]
    assert found["test"] == {"samples": expected["samples"]}
    for form in ("pytorch", "onnx"):
        assert found["forms"][form]["accuracy"] == expected["leader"]
    small = found["forms"]["int8"]
    assert small["bytes"] < 0.4 * found["forms"]["onnx"]["bytes"]
    assert abs(small["accuracy"]["top1"] - expected["leader"]["top1"]) <= 100 * 3 / expected["samples"]


def test_bench_leader_shows_a_table_and_writes_nothing(peers, peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    before = sorted(peers[0].rglob("*"))
    text = " ".join(peerdistill("bench-leader", peers[0], "--repeats", "1").stdout.split())
    for words in ("PyTorch eager", "ONNX float32", "ONNX int8", "batch 1", "batch 64", "test images", "threads"):
        assert words in text
    assert sorted(peers[0].rglob("*")) == before


def test_bench_leader_does_without_test_images_and_says_so(at_home, peerdistill):
    found = json.loads(peerdistill("bench-leader", "runs/divided", "--repeats", "1", "--json").stdout)
    assert found["test"] is None
    assert [form["accuracy"] for form in found["forms"].values()] == [None] * 3
    console = Console(file=io.StringIO(), width=200)
    console.print(tables.leader_bench(found))  # what the command prints without --json
    assert "no test images, so no accuracy" in console.file.getvalue()
    assert "accuracy │" not in console.file.getvalue()


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
    logits = runs.scorer_of(data)((pixels.float() / 255).numpy())
    assert [found["classes"] for found in predicted] == [[data.card.class_names[row.argmax()]] for row in logits]


def test_predict_tells_of_unreadable_pictures_and_classifies_the_others(at_home, peerdistill):
    alone = peerdistill("predict", "leader.onnx", "photo.png", "--json")
    assert (alone.code, alone.stderr) == (0, "")
    outcome = peerdistill("predict", "leader.onnx", "none.png", "photo.png", "notes.jpg", "photos", "--json")
    assert outcome.code == 2
    assert json.loads(outcome.stdout) == json.loads(alone.stdout)
    lines = outcome.stderr.splitlines()
    assert [line.startswith("peerdistill: ") for line in lines] == [True] * 3
    assert all(name in line for name, line in zip(("none.png", "notes.jpg", "photos"), lines, strict=True))


def test_an_own_network_is_exported_as_safetensors_and_comes_back(home, tmp_path, peerdistill, monkeypatch):
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


def test_predict_shows_a_table(at_home, peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = peerdistill("predict", "leader.onnx", "photo.png", "--top", "2").stdout
    line = next(line for line in shown.splitlines() if "photo.png" in line)
    assert line.count("%") == 2


def test_predict_takes_names_as_they_are(at_home, tmp_path, peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(at_home / "photo.png", "a[bold]b.png")
    assert "a[bold]b.png" in peerdistill("predict", at_home / "leader.onnx", "a[bold]b.png").stdout


def test_predict_from_onnx_does_without_torch(at_home):
    code = "import sys; from peerdistill.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    words = [sys.executable, "-c", code, "predict", "leader.onnx", "photo.png"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_note_is_a_line_of_its_own(at_home, tmp_path, peerdistill):
    words = [word if word != "8" else "100000" for word in QUICK]
    outcome = peerdistill("train", "npz:digits.npz", "--run", tmp_path / "run", *words)
    assert outcome.code == 0
    assert outcome.stderr.startswith("peerdistill: drawing ")
    assert len(outcome.stderr.splitlines()) == 1


def test_own_warnings_are_printed_as_sentences_and_others_as_python_does(monkeypatch, capsys):
    def warn(words):
        warnings.warn("be careful", stacklevel=1)
        warnings.warn("take note", PeerdistillWarning, stacklevel=1)
        return 0

    shown = []
    monkeypatch.setattr(
        warnings, "showwarning", lambda message, category, *where: shown.append((category, str(message)))
    )
    monkeypatch.setattr("peerdistill.cli.commands.methods.run", warn)
    assert main(["methods"]) == 0
    assert shown == [(UserWarning, "be careful")]
    assert capsys.readouterr().err == "peerdistill: take note\n"


def test_methods_are_listed_with_all_that_is_known(peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    said = peerdistill("methods").stdout
    for name, card in catalogue.METHODS.items():
        assert name in said
        for fact in (card.loss, card.paper, ", ".join(card.sharings), card.trains, card.deployed):
            assert fact in said
    assert "docs/performance.md" in said


@pytest.mark.parametrize("name", catalogue.names())
def test_a_method_is_shown_with_every_option(name, peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    said = peerdistill("methods", name).stdout
    for option in catalogue.options_of(name):
        assert f"--{option.name}" in said
    card = catalogue.find(name)
    for fact in (card.trains, card.ensemble, card.deployed, card.differs):
        assert fact in said


def test_methods_shows_options_with_their_defaults_and_meanings(peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = " ".join(peerdistill("methods", "kdcl").stdout.split())
    assert "--target min-logit The peer that fits the label best (naive), the convex combination of peers that" in said
    assert "--distillation 1.0 Weight of the peers' divergences from the target (0: left out)." in said


def test_methods_shows_the_options_of_a_group(peerdistill, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = peerdistill("methods", "mcl-okd").stdout
    assert "--contrast.count 16384" in said
    assert "Number of negatives (S) per anchor or per batch, or length of the queue." in said


def test_pictures_that_changed_since_training_are_noticed(home, peerdistill, tmp_path, monkeypatch):
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
    sentence = "the validation images are not those that the run was started with"
    assert (replaced.code, replaced.stderr) == (0, f"peerdistill: {sentence}\n")
    resumed = peerdistill("train", "--resume", "--run", "runs/divided")
    assert resumed.code == 2
    assert resumed.stderr.startswith("peerdistill: the validation images, which choose the best epoch, are not those")
    picture.write_text("no picture")
    spoilt = peerdistill("evaluate", "runs/divided", "--split", "val", "--json")
    assert spoilt.code == 0
    assert "1 unreadable picture is left out: '" in spoilt.stderr
    assert sentence in spoilt.stderr
    Path("divided/train/cat/0.png").write_bytes(Path("divided/train/dog/1.png").read_bytes())
    other = peerdistill("evaluate", "runs/divided", "--split", "val")
    assert (other.code, other.stderr.splitlines()[-1]) == (
        2,
        "peerdistill: the training images are not those that the run was started with",
    )
