"""Each measure is compared with its definition, or with another library."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from sklearn.metrics import matthews_corrcoef

from peerdistill.study.analyses import diversity
from peerdistill.study.analyses.base.analysis import DoesNotApply
from peerdistill.study.analyses.diversity import disagreement, error_correlation, linear_cka, symmetric_divergence

SEEDS = st.integers(0, 2**32 - 1)


def hsic(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Hilbert-Schmidt independence criterion of two kernel matrices, tr(K H L H) / (n - 1)^2."""
    count = len(first)
    centre = np.eye(count) - np.full((count, count), 1 / count)
    return np.trace(first @ centre @ second @ centre) / (count - 1) ** 2


@given(seed=SEEDS, widths=st.tuples(st.integers(1, 8), st.integers(1, 8)))
def test_linear_cka_is_the_normalised_hsic_of_linear_kernels(seed, widths):
    draws = np.random.default_rng(seed)
    first, second = (draws.normal(size=(20, width)) + draws.normal() for width in widths)
    kernels = first @ first.T, second @ second.T
    expected = hsic(*kernels) / np.sqrt(hsic(kernels[0], kernels[0]) * hsic(kernels[1], kernels[1]))
    assert linear_cka(first, second) == pytest.approx(expected, abs=1e-9)


def test_cka_ignores_rotations_and_factors():
    draws = np.random.default_rng(0)
    features = draws.normal(size=(30, 5))
    rotation, _ = np.linalg.qr(draws.normal(size=(5, 5)))
    assert linear_cka(features, 7 * features @ rotation) == pytest.approx(1)
    assert np.isnan(linear_cka(features, np.ones((30, 2))))


@given(seed=SEEDS)
def test_the_divergence_is_the_mean_of_both_directions(seed):
    p, q = (np.random.default_rng((seed, number)).dirichlet(np.full(4, 0.7), 9) + 1e-6 for number in (0, 1))
    p, q = p / p.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    expected = (entropy(p, q, axis=1) + entropy(q, p, axis=1)).mean() / 2
    assert symmetric_divergence(np.log(p), np.log(q)) == pytest.approx(expected, rel=1e-6)


@given(seed=SEEDS)
def test_the_correlation_of_mistakes_is_that_of_two_binary_variables(seed):
    first, second = np.random.default_rng(seed).random((2, 50)) < 0.4
    assert error_correlation(first, second) == pytest.approx(matthews_corrcoef(first, second))


def test_the_correlation_with_a_network_without_mistakes_is_undefined():
    assert np.isnan(error_correlation(np.array([True, False]), np.array([False, False])))


def test_disagreement_by_hand():
    assert disagreement(np.array([0, 1, 2, 3]), np.array([0, 2, 2, 2])) == 0.5


def test_pairs_of_peers_and_their_mean(peers):
    found = diversity.compute(peers)
    predicted = [peer.logits.argmax(1) for peer in peers.peers]
    expected = [100 * np.mean(predicted[a] != predicted[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    matrix = np.array(found["matrices"]["disagreement (%)"])
    assert matrix[[0, 0, 1], [1, 2, 2]].tolist() == pytest.approx(expected)
    assert found["figures"]["disagreement (%)"] == pytest.approx(np.mean(expected))
    assert np.diag(found["matrices"]["CKA of features"]) == pytest.approx(1)
    assert found["peers"] == ["peer:0", "peer:1", "leader"]


def test_one_peer_has_no_diversity_and_episodes_have_that_of_features_only(single, episodes):
    with pytest.raises(DoesNotApply, match="one peer"):
        diversity.compute(single)
    assert list(diversity.compute(episodes)["figures"]) == ["CKA of features"]
