"""Training, evaluation, export and prediction in Python, one call each."""

import json

import pytest
import torch
from PIL import Image

import peerdistill
from peerdistill import deploy, runs
from peerdistill.errors import UserError


@pytest.fixture(scope="module")
def run(tmp_path_factory, digits_file):
    path = tmp_path_factory.mktemp("api") / "run"
    return peerdistill.train(
        f"npz:{digits_file}", run=path, backbone="resnet8", peers=2, epochs=1, batch_size=32, contrast={"count": 8}
    )


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "one.png"
    Image.new("L", (8, 8), 120).save(path)
    return path


def test_train_returns_the_finished_run(run):
    assert json.loads(run.result_file.read_text())["last"]["epoch"] == 1
    assert run.config.options["contrast"].count == 8
    assert run.saved == ("last", "best")


def test_evaluate_returns_the_scores_of_the_result(run):
    result = json.loads(run.result_file.read_text())
    for found, which, split in ((run.evaluate(), "last", "test"), (run.evaluate("best", split="val"), "best", "val")):
        for predictor in ("leader", "ensemble"):
            confusion = found[predictor].pop("confusion")
            assert sum(map(sum, confusion)) == found["samples"]
            for name in ("balanced_accuracy", "ece", "per_class"):
                del found[predictor][name]
        assert found == {"checkpoint": which, "split": split, **result[which][split]}


def test_leader_is_the_last_peer(run):
    restored = runs.restore(run)
    images = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(run.leader()(images), restored.cohort(images).logits[-1])


@pytest.mark.parametrize("format", ["onnx", "safetensors"])
def test_an_exported_file_predicts_what_the_run_predicts(run, format, picture, tmp_path):
    report = run.export(format, tmp_path / f"leader.{format}")
    (of_file,) = deploy.predict(report.path, [picture])
    (of_run,) = run.predict([picture])
    assert of_file.classes == of_run.classes
    assert of_file.probabilities == pytest.approx(of_run.probabilities, abs=1e-5)
    with pytest.raises(UserError, match="exists"):
        run.export(format, report.path)


def test_a_wrong_option_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UserError, match="unknown option 'epoch': did you mean epochs"):
        peerdistill.train("digits", run=tmp_path / "run", epoch=3)
    assert not (tmp_path / "run").exists()
