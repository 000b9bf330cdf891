"""Every network that a run deploys, against the cohort of its checkpoint."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from peerdistill import deploy, runs
from peerdistill.errors import UserError
from peerdistill.evaluation import calibrated_temperature
from peerdistill.runs import Run

NETWORKS = ("leader", "ensemble", "peer:0", "peer:1", "ema", "average")


@pytest.fixture(scope="module")
def one_run(tmp_path_factory, quick_config, train_quickly) -> Run:
    """A run whose ensemble has a gate, with a moving average of the leader's weights."""
    path = tmp_path_factory.mktemp("runs") / "one"
    train_quickly(quick_config(method="one", epochs=1, ema=0.9), path)
    return Run(path)


def images_of(run: Run, split: str) -> torch.Tensor:
    data = runs.load_data(run)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (data.mean, data.std))
    return (getattr(data, split).images.float() / 255 - mean) / std


@torch.inference_mode()
def logits_of(run: Run, what: str, split: str = "test") -> torch.Tensor:
    """Return the logits by the cohort of the checkpoint."""
    restored, images = runs.restore(run), images_of(run, split)
    out = restored.cohort(images)
    if what == "average":
        return runs.average_of(run, restored, runs.load_data(run))(images)
    if what == "ema":
        network = restored.cohort.leader()
        network.load_state_dict(dict(restored.state["ema"]))
        return network(images)
    if what == "ensemble":
        return runs.load_task_of(run).ensemble(restored.cohort, restored.state).eval()(out)
    return out.logits[{"leader": -1, "peer:0": 0, "peer:1": 1}[what]]


@pytest.mark.parametrize("what", NETWORKS)
def test_a_network_gives_the_logits_of_the_cohort(one_run, what):
    found = runs.deployable(one_run, runs.restore(one_run), what)
    assert not any(module.training for module in found.network.modules())
    with torch.inference_mode():
        torch.testing.assert_close(found.network(images_of(one_run, "test")), logits_of(one_run, what))
    card = runs.restore(one_run).card
    assert found.card == replace(card, what=what, method="one", peers=2)
    assert isinstance(one_run.network(what), type(found.network))


def test_the_ensemble_has_the_accuracy_that_evaluate_reports(one_run):
    evaluator = runs.evaluator_of(one_run)
    evaluation = evaluator()
    assert evaluator.scores_of(one_run.network("ensemble")).top1 == pytest.approx(evaluation.ensemble.top1)
    assert evaluator.scores_of(one_run.network("peer:0")).top1 == pytest.approx(evaluation.peers[0].top1)


@pytest.mark.parametrize("what", ["peer:0", "average"])
def test_an_exported_file_holds_the_network_and_says_so(one_run, what, tmp_path):
    file = tmp_path / "file.safetensors"
    one_run.export("safetensors", file, what=what)
    network, card = deploy.load_leader(file)
    assert (card.what, card.method, card.peers) == (what, "one", 2)
    with torch.inference_mode():
        found = network.network(images_of(one_run, "test"))
    torch.testing.assert_close(found, logits_of(one_run, what))


@pytest.mark.parametrize("what", ["peer:0", "average"])
def test_calibration_is_that_of_the_exported_network(one_run, what, tmp_path):
    file = tmp_path / "file.safetensors"
    one_run.export("safetensors", file, what=what, calibrate=True)
    temperature = deploy.load_leader(file)[1].temperature
    labels = runs.load_data(one_run).val.labels.numpy()
    expected = calibrated_temperature(logits_of(one_run, what, "val").numpy(), labels)
    assert temperature == pytest.approx(expected, rel=1e-3)


def test_predictions_are_those_of_the_network(one_run, tmp_path):
    file = tmp_path / "digit.png"
    Image.fromarray(runs.load_data(one_run).test.images[0, 0].numpy()).save(file)
    for what in NETWORKS:
        found = one_run.predict([file], what=what)[0]
        probabilities = logits_of(one_run, what)[:1].double().softmax(1).numpy()[0]
        np.testing.assert_allclose(sorted(found.probabilities), sorted(probabilities), atol=1e-5)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("soup", "network to deploy"),
        ("peer:2", "peer:2 does not exist: the run has the peers 0 to 1"),
        ("ema", "has no moving average of the leader's weights: train with --ema 0.999"),
    ],
)
def test_a_network_that_the_run_does_not_have(trained, what, message, tmp_path):
    for use in (trained.network, lambda what: trained.export("safetensors", tmp_path / "a.safetensors", what=what)):
        with pytest.raises(UserError, match=message):
            use(what)
    assert not list(tmp_path.iterdir())


def test_only_the_average_needs_the_data(one_run, tmp_path):
    run = Run(tmp_path / "run")
    shutil.copytree(one_run.path, run.path)
    run.config_file.write_text(run.config_file.read_text().replace("digits.npz", "gone.npz"))
    run = Run(run.path)
    for what in ("leader", "ensemble", "peer:0"):
        run.network(what)
    with pytest.raises(UserError, match="is no longer in"):
        run.network("average")
