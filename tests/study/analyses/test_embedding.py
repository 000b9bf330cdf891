import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerdistill.study.analyses import embedding
from peerdistill.study.analyses.embedding import neighbour_embedding, principal_components


@given(seed=st.integers(0, 2**32 - 1), images=st.integers(3, 20), width=st.integers(2, 8))
def test_principal_components_are_those_of_the_singular_value_decomposition(seed, images, width):
    features = np.random.default_rng(seed).normal(size=(images, width)) * np.arange(1, width + 1)
    found, explained = principal_components(features)
    left, values, _ = np.linalg.svd(features - features.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :2] * values[:2]), atol=1e-8)
    assert explained == pytest.approx(np.square(values[:2]).sum() / np.square(values).sum())


def test_features_of_width_one_lie_on_a_line():
    found, explained = principal_components(np.array([[0.0], [1.0], [5.0]]))
    assert found[:, 1].tolist() == [0, 0, 0]
    assert explained == pytest.approx(1)


def test_neighbours_stay_neighbours_and_the_map_is_the_same_every_time():
    draws = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 15)
    features = 10 * np.eye(3)[labels] @ draws.normal(size=(3, 8)) + draws.normal(size=(45, 8))
    found = neighbour_embedding(features)
    distances = np.linalg.norm(found[:, None] - found[None], axis=-1) + np.diag(np.full(45, np.inf))
    assert (labels[distances.argmin(1)] == labels).mean() > 0.9
    np.testing.assert_array_equal(found, neighbour_embedding(features))


def test_points_of_a_run_have_their_rows_and_classes(peers, monkeypatch):
    monkeypatch.setattr(embedding, "MOST_POINTS", 20)
    found = embedding.compute(peers)
    assert len(found["rows"]) == 20
    assert found["classes"] == peers.labels[found["rows"]].tolist()
    assert {name: np.shape(points) for name, points in found["maps"].items()} == {"PCA": (20, 2), "t-SNE": (20, 2)}
    components, _ = principal_components(peers.examined.features)
    np.testing.assert_allclose(found["maps"]["PCA"], components[found["rows"]], atol=6e-4)
