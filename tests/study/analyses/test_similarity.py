"""The closed form and the histogram are compared with all pairs, formed by scikit-learn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import cosine_similarity

from peerdistill.study.analyses import similarity
from peerdistill.study.analyses.similarity import BINS, class_similarities, similarity_histogram

SHAPES = {"seed": st.integers(0, 2**32 - 1), "images": st.integers(1, 30), "classes": st.integers(1, 5)}


def drawn(seed: int, images: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    features = draws.normal(size=(images, 6)) * draws.lognormal(size=(images, 1)) + draws.normal(size=6)
    return features.astype(np.float32), draws.integers(0, classes, images)


def pairs(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the similarities of all pairs of the same class, and of different classes."""
    cosines = cosine_similarity(features.astype(np.float64))
    first, second = np.triu_indices(len(labels), k=1)
    same = labels[first] == labels[second]
    return cosines[first, second][same], cosines[first, second][~same]


@given(**SHAPES)
def test_the_means_are_those_over_all_pairs(seed, images, classes):
    features, labels = drawn(seed, images, classes)
    for found, expected in zip(class_similarities(features, labels), pairs(features, labels), strict=True):
        if len(expected):
            assert found == pytest.approx(expected.mean(), abs=1e-9)
        else:
            assert math.isnan(found)


@given(**SHAPES)
def test_the_histogram_counts_every_pair_once(seed, images, classes):
    features, labels = drawn(seed, images, classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "_ROWS_AT_ONCE", 7)  # several blocks
        found = similarity_histogram(features, labels)
    for counts, expected in zip(found, pairs(features, labels), strict=True):
        assert counts.sum() == len(expected)
        # A similarity at the edge of a bin may fall on either side.
        wider = np.histogram(expected, BINS, (-1, 1))[0]
        assert np.abs(counts.cumsum() - wider.cumsum()).max(initial=0) <= 1


def test_features_that_are_all_zero_are_similar_to_nothing():
    features = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    found = class_similarities(features, np.array([0, 0, 0, 1]))
    assert found.intra == pytest.approx(1 / 3)  # 0, 0 and 1
    assert found.inter == pytest.approx(2 / 3)  # 0, 1 and 1


def test_every_network_of_a_run_has_its_figures(peers):
    found = similarity.compute(peers)
    assert list(found["networks"]) == ["peer:0", "peer:1", "leader", "ensemble"]
    for name, network in peers.networks.items():
        intra, inter = pairs(network.features, peers.labels)
        figures = found["networks"][name]
        assert figures["intra-class similarity"] == pytest.approx(intra.mean(), abs=1e-6)
        assert figures["inter-class similarity"] == pytest.approx(inter.mean(), abs=1e-6)
    assert found["figures"] == found["networks"]["leader"]
    histogram = found["histogram"]
    assert sum(histogram["intra-class pairs"]) == len(pairs(peers.examined.features, peers.labels)[0])
