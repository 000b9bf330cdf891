"""What networks compute is compared with the networks of the run, one image after the other."""

import numpy as np
import pytest
import torch

from peerdistill.data.normaliser import Normaliser
from peerdistill.errors import UserError
from peerdistill.runs import Run
from peerdistill.study.analyses.base.analysed_run import AnalysedRun


def outputs(run: AnalysedRun, what: str, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the input and the output of the last layer of a network of a run."""
    seen = []
    network = run.run.network(what)
    layer = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    with torch.no_grad():
        network(Normaliser(run.task.data, torch.device("cpu"))(images))
    features, logits = seen[-1]
    return features.numpy(), logits.numpy()


@pytest.mark.parametrize("what", ["leader", "peer:0", "peer:2", "ema", "average"])
def test_features_and_logits_are_those_of_the_network(peers, what):
    run = AnalysedRun(peers.run, what=what)
    features, logits = outputs(run, what, run.images.images)
    np.testing.assert_allclose(run.examined.features, features, atol=1e-5)
    np.testing.assert_allclose(run.examined.logits, logits, atol=1e-4)
    expected, _ = outputs(run, what, run.task.data.train.images)
    np.testing.assert_allclose(run.training[0], expected, atol=1e-5)
    assert run.training[1].tolist() == run.task.data.train.labels.tolist()


def test_the_ensemble_has_the_features_of_all_peers_and_its_own_logits(peers):
    run = AnalysedRun(peers.run, what="ensemble")
    width = run.peers[0].features.shape[1]
    assert run.examined.features.shape == (len(run.labels), 3 * width)
    np.testing.assert_array_equal(run.examined.features[:, width : 2 * width], run.peers[1].features)
    np.testing.assert_allclose(run.examined.logits, np.mean([peer.logits for peer in run.peers], axis=0), atol=1e-5)
    assert run.training[0].shape[1] == 3 * width


def test_a_further_network_stands_beside_the_peers(peers, single):
    assert list(AnalysedRun(peers.run, what="ema").networks) == ["peer:0", "peer:1", "leader", "ensemble", "ema"]
    assert list(AnalysedRun(peers.run, what="peer:2").networks) == ["peer:0", "peer:1", "leader", "ensemble"]
    assert list(single.networks) == ["leader"]


def test_episodes_have_features_of_test_classes_but_no_logits(episodes):
    assert episodes.examined.logits is None
    assert len(episodes.class_names) == len(set(episodes.labels))
    assert not set(episodes.class_names) & set(episodes.task.data.class_names)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"what": "peer:3"}, "the run has the peers 0 to 2"),
        ({"what": "soup"}, "unknown network"),
        ({"split": "val"}, "has no val split"),
        ({"which": "best"}, "no best checkpoint"),
    ],
)
def test_what_does_not_exist_is_an_error(trained_runs, how, message):
    with pytest.raises(UserError, match=message):
        AnalysedRun(Run(trained_runs / "peers"), **how)
