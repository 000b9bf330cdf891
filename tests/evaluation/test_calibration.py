import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import softmax
from sklearn.metrics import log_loss

from peerdistill.errors import UserError
from peerdistill.evaluation import calibrated_temperature
from peerdistill.evaluation.calibration import LARGEST_TEMPERATURE


@st.composite
def predictions(draw):
    classes, samples = draw(st.integers(2, 6)), draw(st.integers(2, 30))
    logits = draw(arrays(np.float32, (samples, classes), elements=st.floats(-10, 10, width=32)))
    labels = draw(arrays(np.int64, samples, elements=st.integers(0, classes - 1)))
    assume((logits[np.arange(samples), labels] < logits.max(1)).any())
    return logits, labels


@given(predictions(), st.floats(-4.6, 4.6))
def test_no_other_temperature_has_a_lower_loss(given_predictions, log_other):
    logits, labels = given_predictions

    def loss(temperature):
        log_p = torch.from_numpy(logits).double().div(temperature).log_softmax(1)
        return torch.nn.functional.nll_loss(log_p, torch.from_numpy(labels)).item()

    try:
        found = calibrated_temperature(logits, labels)
    except UserError:
        limits = (1 / LARGEST_TEMPERATURE, LARGEST_TEMPERATURE)
        assert min(map(loss, limits)) <= loss(np.exp(log_other)) * (1 + 1e-4) + 1e-6
        return
    assert 1 / LARGEST_TEMPERATURE <= found <= LARGEST_TEMPERATURE
    assert loss(found) <= loss(np.exp(log_other)) * (1 + 1e-4) + 1e-6


def test_is_what_lbfgs_of_pytorch_finds():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 5, 400)
    logits = (3 * draws.normal(size=(400, 5)) + 4 * np.eye(5)[labels]).astype(np.float32)
    scale = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(scale * torch.from_numpy(logits).double(), torch.from_numpy(labels))
        value.backward()
        return value

    optimizer.step(loss)
    assert calibrated_temperature(logits, labels) == pytest.approx(1 / scale.item(), rel=1e-4)


def test_labels_drawn_from_the_probabilities_have_temperature_1():
    draws = np.random.default_rng(1)
    logits = 2 * draws.normal(size=(20_000, 4))
    labels = (softmax(logits, axis=1).cumsum(1) > draws.random((20_000, 1))).argmax(1)
    found = calibrated_temperature(logits, labels)
    assert found == pytest.approx(1, abs=0.03)
    assert calibrated_temperature(5 * logits, labels) == pytest.approx(5 * found, rel=1e-4)


def test_loss_is_lower_than_without_calibration():
    draws = np.random.default_rng(2)
    logits = 9 * draws.normal(size=(500, 3))
    labels = (softmax(logits / 3, axis=1).cumsum(1) > draws.random((500, 1))).argmax(1)
    found = calibrated_temperature(logits, labels)
    assert log_loss(labels, softmax(logits / found, axis=1)) < log_loss(labels, softmax(logits, axis=1)) - 0.05


def test_without_mistakes_no_temperature_fits_best():
    with pytest.raises(UserError, match="classifies all 3 validation images correctly"):
        calibrated_temperature(np.eye(3), np.arange(3))


def test_logits_that_fit_no_better_than_chance_are_refused():
    with pytest.raises(UserError, match=r"no temperature from 0\.01 to 100 fits 2 validation images best"):
        calibrated_temperature(np.array([[2.0, 0.0], [0.0, 2.0]]), np.array([1, 0]))


def test_logits_that_are_not_finite():
    with pytest.raises(UserError, match="not finite"):
        calibrated_temperature(np.array([[np.nan, 0.0]]), np.array([0]))
