import json

from peerdistill.runs import Run

QUICK = ("--backbone", "resnet8x4", "--peers", "2", "--epochs", "1", "--batch_size", "32", "--contrast.count", "8")
ALONE = ("--backbone", "resnet8", "--peers", "1", "--epochs", "1", "--method", "baseline")


def assert_accuracies(found: dict, peers: int) -> None:
    assert {"samples", "peers", "leader", "ensemble"} <= set(found)
    assert len(found["peers"]) == peers
    assert found["leader"] == found["peers"][-1]
    for predictor in (*found["peers"], found["ensemble"]):
        assert 0 <= predictor["top1"] <= 100


def test_json_goes_to_stdout_and_progress_to_stderr(peers):
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


def test_the_result_names_the_run_folder_and_the_epochs(at_home, tmp_path, peerdistill):
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


def test_a_folder_with_a_built_in_name_is_ignored_with_a_warning(tmp_path, monkeypatch, peerdistill):
    (tmp_path / "cifar10").mkdir()
    monkeypatch.chdir(tmp_path)
    warning, error = peerdistill("train", "cifar10").stderr.splitlines()
    assert warning.startswith("peerdistill: 'cifar10' is ")
    assert "write ./cifar10" in warning
    assert "--download" in error


def test_the_default_run_folder(home, tmp_path, monkeypatch, peerdistill):
    monkeypatch.chdir(tmp_path)
    assert peerdistill("train", f"npz:{home}/digits.npz", *QUICK).code == 0
    Run("runs/digits-mcl-okd-resnet8x4").require()


def test_unreadable_pictures_are_skipped_and_counted(at_home, tmp_path, peerdistill):
    few = ("--image_size", "16", "--workers", "0", "--batch_size", "4")
    outcome = peerdistill("train", "broken", "--skip_unreadable", "--json", "--run", tmp_path / "run", *ALONE, *few)
    assert json.loads(outcome.stdout)["skipped_pictures"] == 1
    assert "1 unreadable pictures left out" in outcome.stderr


def test_divergence_is_a_failure_not_a_user_error(at_home, tmp_path, peerdistill):
    too_fast = ("--lr", "1000", "--optimizer.weight_decay", "1000", "--batch_size", "8")
    outcome = peerdistill("train", "npz:digits.npz", "--run", tmp_path / "run", *ALONE, *too_fast)
    assert outcome.code == 1
    assert outcome.stderr.startswith("peerdistill: the ")
    assert "not finite" in outcome.stderr
    assert "checkpoint" in outcome.stderr


def test_a_warning_is_one_line(at_home, tmp_path, peerdistill):
    words = [word if word != "8" else "100000" for word in QUICK]
    outcome = peerdistill("train", "npz:digits.npz", "--run", tmp_path / "run", *words, "--ramp", "0")
    assert outcome.code == 0
    assert outcome.stderr.startswith("peerdistill: drawing ")
    assert len(outcome.stderr.splitlines()) == 1
