import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score

from peerdistill.study.analyses import probe
from peerdistill.study.analyses.base.analysis import DoesNotApply
from peerdistill.study.analyses.probe import NEIGHBOURS, linear_probe, nearest_neighbours


@pytest.fixture(scope="module")
def clouds() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlapping clouds of three classes with features of very different sizes, and points between them."""
    draws = np.random.default_rng(0)
    centres, scales = draws.normal(size=(3, 4)), np.array([0.01, 1.0, 5.0, 100.0])
    labels = np.repeat([0, 1, 2], 40)
    train = (centres[labels] + 0.7 * draws.normal(size=(120, 4))) * scales
    return train, labels, draws.normal(size=(60, 4)) * scales


def test_the_linear_probe_minimises_its_objective_on_standardised_features(clouds):
    train, labels, test = clouds
    mean, std = train.mean(0), train.std(0)
    inputs, others = (train - mean) / std, (test - mean) / std
    rows = np.arange(len(labels))

    def objective(flat: np.ndarray) -> float:
        weights = flat.reshape(5, 3)
        logits = inputs @ weights[:4] + weights[4]
        return 0.5 * np.square(weights[:4]).sum() - log_softmax(logits, axis=1)[rows, labels].sum()

    weights = minimize(objective, np.zeros(15), method="BFGS").x.reshape(5, 3)
    expected = (others @ weights[:4] + weights[4]).argmax(1)
    assert (linear_probe(train, labels, test) == expected).mean() > 0.98  # the solvers stop at different points


def test_nearest_neighbours_vote(clouds):
    train, labels, test = clouds
    cosines = test @ train.T / np.linalg.norm(test, axis=1)[:, None] / np.linalg.norm(train, axis=1)
    nearest = np.argsort(-cosines, axis=1)[:, :NEIGHBOURS]
    expected = [np.bincount(labels[row], minlength=3).argmax() for row in nearest]
    assert nearest_neighbours(train, labels, test).tolist() == expected


def test_accuracies_of_a_run(peers):
    found = probe.compute(peers)
    train, labels = peers.training
    assert found["training images"] == len(train) == 160
    expected = accuracy_score(peers.labels, nearest_neighbours(train, labels, peers.examined.features))
    assert found["figures"]["k-NN (%)"] == pytest.approx(100 * expected)
    own = accuracy_score(peers.labels, peers.peers[-1].logits.argmax(1))
    assert found["figures"]["own classifier (%)"] == pytest.approx(100 * own)


def test_episodes_have_other_classes_in_training(episodes):
    with pytest.raises(DoesNotApply, match="episodes"):
        probe.compute(episodes)
