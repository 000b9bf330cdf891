import numpy as np
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from peerdistill import runs
from peerdistill.study.analyses import calibration
from peerdistill.study.analyses.base.analysis import DoesNotApply
from peerdistill.study.analyses.calibration import brier_score, negative_log_likelihood


def test_the_scores_are_those_of_scikit_learn(log_probabilities):
    log_p, labels = log_probabilities
    p, classes = np.exp(log_p), range(log_p.shape[1])
    assert negative_log_likelihood(log_p, labels) == pytest.approx(log_loss(labels, p, labels=classes))
    expected = brier_score_loss(labels, p, labels=classes, scale_by_half=False)
    assert brier_score(log_p, labels) == pytest.approx(expected)


def test_a_run_has_the_calibration_error_of_evaluate_and_its_bins_hold_all_images(peers):
    found = calibration.compute(peers)
    report = runs.evaluator_of(peers.run).report().as_dict()
    for name in ("leader", "ensemble"):
        assert found["networks"][name]["ECE (%)"] == pytest.approx(100 * report[name]["ece"], abs=1e-3)
        assert found["networks"][name]["error (%)"] == pytest.approx(100 - report[name]["top1"], abs=1e-9)
    for name, network in peers.networks.items():
        assert sum(found["bins"][name]["counts"]) == len(peers.labels)
        right = accuracy_score(peers.labels, network.predicted, normalize=False)
        filled = [
            (n, a) for n, a in zip(*(found["bins"][name][key] for key in ("counts", "accuracy")), strict=True) if n
        ]
        assert sum(n * a for n, a in filled) == pytest.approx(right)
    assert found["figures"] == found["networks"]["leader"]


def test_episodes_have_no_probabilities(episodes):
    with pytest.raises(DoesNotApply, match="few-shot"):
        calibration.compute(episodes)
