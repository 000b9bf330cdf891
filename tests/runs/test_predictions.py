import json
import shutil

import numpy as np
import pytest
import torch
from scipy.special import softmax

from peerdistill import runs
from peerdistill.errors import UserError
from peerdistill.runs import Run, predictions
from peerdistill.runs.predictions import read_predictions
from support.photos import write_photos


@pytest.mark.parametrize("which", ["last", "best"])
@pytest.mark.parametrize("split", ["test", "val"])
def test_training_leaves_what_evaluate_finds(trained, which, split):
    found = trained.predictions(which, split)
    scores = trained.evaluate(which, split)
    images = getattr(runs.load_data(trained), split)
    np.testing.assert_array_equal(found.labels, images.labels)
    assert found.paths is None
    assert found.ensemble is not None
    for name, predictor in (("leader", found.leader), ("ensemble", found.ensemble)):
        assert 100 * np.mean(found.labels == predictor.predicted) == pytest.approx(scores[name]["top1"])
        np.testing.assert_array_equal(found.confusion(predictor), scores[name]["confusion"])
        assert predictor.logits is not None
        np.testing.assert_array_equal(predictor.logits.argmax(1), predictor.predicted)
        np.testing.assert_allclose(predictor.probability, softmax(predictor.logits.astype(float), 1).max(1), atol=5e-3)
    assert list(found.class_names) == list(scores["leader"]["per_class"])


def test_the_result_and_the_files_come_from_one_pass(trained):
    result = json.loads(trained.result_file.read_text())
    for which in ("last", "best"):
        for split in ("test", "val"):
            found = trained.predictions(which, split)
            top1 = 100 * np.mean(found.labels == found.leader.predicted)
            assert result[which][split]["leader"]["top1"] == pytest.approx(top1)
            assert result[which][split]["samples"] == len(found.labels)


def test_the_leaders_logits_are_those_of_the_deployed_network(trained):
    data = runs.load_data(trained)
    images = data.test.images[:20].float() / 255
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (data.mean, data.std))
    with torch.no_grad():
        logits = trained.leader("best")((images - mean) / std)
    found = trained.predictions("best")
    np.testing.assert_allclose(found.leader.logits[:20], logits, rtol=2e-3, atol=2e-3)


def test_resuming_a_finished_run_writes_the_same_bytes(trained, tmp_path, train_quickly):
    copy = Run(shutil.copytree(trained.path, tmp_path / "copy"))
    before = {file.name: file.read_bytes() for file in copy.path.glob("predictions/*")}
    (copy.path / "predictions" / "last_test.npz").unlink()
    (copy.path / "predictions" / "best_val.npz").write_bytes(b"half of a file")
    train_quickly(copy.config, copy.path, resume=True)
    assert {file.name: file.read_bytes() for file in copy.path.glob("predictions/*")} == before


def test_pictures_have_their_paths_and_one_peer_has_no_ensemble(tmp_path, train_quickly, quick_config):
    write_photos(tmp_path / "photos", count=30)
    config = quick_config(tmp_path / "photos", image_size=16, peers=1, method="baseline", epochs=1, batch_size=8)
    train_quickly(config, tmp_path / "run")
    run = Run(tmp_path / "run")
    found = run.predictions()
    assert found.ensemble is None
    assert list(found.paths) == list(runs.load_data(run).test.paths)


def test_files_of_many_images_and_classes_have_no_logits(monkeypatch, tmp_path, train_quickly, quick_config):
    monkeypatch.setattr(predictions, "MOST_LOGITS", 50)
    train_quickly(quick_config(epochs=1), tmp_path / "run")
    found = Run(tmp_path / "run").predictions()
    assert found.leader.logits is None
    assert len(found.leader.probability) == len(found.labels)


def test_missing_and_damaged_files_are_one_sentence(tmp_path):
    with pytest.raises(UserError, match="there are no predictions"):
        read_predictions(tmp_path / "last_test.npz")
    np.savez(tmp_path / "other.npz", labels=np.arange(3))
    (tmp_path / "broken.npz").write_bytes(b"PK")
    for name in ("other.npz", "broken.npz"):
        with pytest.raises(UserError, match=f"{name} cannot be read"):
            read_predictions(tmp_path / name)
