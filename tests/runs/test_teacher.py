"""Every network of a run that can teach, against the network that the run deploys."""

import json

import pytest
import torch

from peerdistill import runs
from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.runs.teacher import load_teacher


@pytest.fixture(scope="module")
def one_run(tmp_path_factory, quick_config, train_quickly) -> Run:
    """A run whose ensemble has a gate, with a moving average of the leader's weights."""
    path = tmp_path_factory.mktemp("runs") / "one"
    train_quickly(quick_config(method="one", epochs=1, ema=0.9), path)
    return Run(path)


@pytest.mark.parametrize("what", ["leader", "ensemble", "peer:0", "peer:1", "ema"])
def test_a_teacher_has_the_logits_of_the_deployed_network(one_run, what):
    images = torch.rand(8, 1, 8, 8)
    expected = runs.deployable(one_run, runs.restore(one_run), what).network
    teacher = load_teacher(str(one_run.path), runs.load_data(one_run), what)
    with torch.inference_mode():
        torch.testing.assert_close(teacher(images).logits[-1], expected(images), rtol=1e-4, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not any(module.training for module in teacher.train().modules())


def test_the_features_of_an_ensemble_are_those_of_all_peers_side_by_side(one_run):
    teacher = load_teacher(str(one_run.path), runs.load_data(one_run), "ensemble")
    images = torch.rand(8, 1, 8, 8)
    out, peers = teacher(images), runs.restore(one_run).cohort(images).features
    torch.testing.assert_close(out.features[-1], torch.cat([*peers], dim=1).detach(), rtol=1e-4, atol=1e-5)
    assert out.features[-1].shape[1] == teacher.width == 2 * 64


@pytest.mark.parametrize("method", ["kd", "crd+kd", "rkd-da"])
def test_every_form_of_distillation_learns_from_an_ensemble(one_run, method, quick_config, train_quickly, tmp_path):
    config = quick_config(method=method, peers=1, epochs=1, teacher=one_run.path, teacher_what="ensemble")
    train_quickly(config, tmp_path / "run")
    (line,) = (json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert all(value > 0 for value in line["loss"].values())


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("peer:2", "peer:2 does not exist: the run has the peers 0 to 1"),
        ("average", "teacher_what average needs a file: peerdistill export .* --what average"),
        ("ema", "has no moving average"),
        ("best", "unknown network of a teacher 'best': choose from leader, ensemble, peer:K, ema$"),
    ],
)
def test_a_network_that_cannot_teach_is_refused(trained, what, sentence, quick_config, train_quickly, tmp_path):
    with pytest.raises(UserError, match=sentence):
        train_quickly(quick_config(teacher=trained.path, teacher_what=what), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_holds_one_network(trained, tmp_path):
    trained.export("safetensors", tmp_path / "leader.safetensors")
    with pytest.raises(UserError, match=r"needs the folder of a run: the file .* holds one network"):
        load_teacher(str(tmp_path / "leader.safetensors"), runs.load_data(trained), "ensemble")


def test_a_network_to_teach_needs_a_teacher(quick_config, train_quickly, tmp_path):
    with pytest.raises(UserError, match="teacher_what ensemble needs a run that teaches: --teacher RUN"):
        train_quickly(quick_config(teacher_what="ensemble"), tmp_path / "run")
