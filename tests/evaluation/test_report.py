import json
import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, balanced_accuracy_score, classification_report, confusion_matrix

from peerdistill.evaluation import ClassReport, most_confused
from peerdistill.evaluation.plots import plot_confusion


def report_of(labels, logits) -> ClassReport:
    logits = np.asarray(logits, dtype=np.float32)
    return ClassReport(np.asarray(labels, dtype=np.int64), logits, logits.argmax(1))


def with_probabilities(labels, predicted, probabilities) -> ClassReport:
    """The report of a predictor of two classes that predicts these classes with these probabilities."""
    probabilities = np.asarray(probabilities)
    logits = np.zeros((len(labels), 2))
    logits[np.arange(len(labels)), predicted] = np.log(probabilities / (1 - probabilities))
    return report_of(labels, logits)


@st.composite
def reports(draw) -> ClassReport:
    classes, samples = draw(st.integers(2, 12)), draw(st.integers(1, 40))
    logits = draw(arrays(np.float32, (samples, classes), elements=st.floats(-20, 20, width=32)))
    return report_of(draw(arrays(np.int64, samples, elements=st.integers(0, classes - 1))), logits)


@given(reports())
def test_is_what_scikit_learn_reports(report):
    classes = report.logits.shape[1]
    labels, predicted = report.labels, report.logits.argmax(1)
    names = [f"class {k}" for k in range(classes)]
    expected = classification_report(
        labels, predicted, labels=range(classes), target_names=names, output_dict=True, zero_division=0
    )
    found = report.as_dict(names)
    for name in names:
        per_class = found["per_class"][name]
        assert per_class["support"] == expected[name]["support"] == np.sum(labels == names.index(name))
        if per_class["support"]:
            of_sklearn = (expected[name][key] for key in ("precision", "recall", "f1-score"))
            assert (per_class["precision"], per_class["recall"], per_class["f1"]) == tuple(of_sklearn)
        else:
            assert (per_class["precision"], per_class["recall"], per_class["f1"]) == (None, None, None)
    with warnings.catch_warnings(action="ignore"):  # of classes without samples
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted), abs=1e-12)
    assert found["confusion"] == confusion_matrix(labels, predicted, labels=range(classes)).tolist()
    json.dumps(found, allow_nan=False)


@given(reports())
def test_figures_agree_with_each_other(report):
    samples = len(report.labels)
    assert report.confusion.sum() == samples == report.confidences.counts.sum()
    assert np.trace(report.confusion) == samples - len(report.mistakes)
    dense = np.zeros_like(report.confusion)
    true, predicted, counts = report.cells.T
    dense[true, predicted] = counts
    np.testing.assert_array_equal(dense, report.confusion)
    some = list(range(report.classes))[::2]
    np.testing.assert_array_equal(report.confusion_of(some), report.confusion[np.ix_(some, some)])
    mistakes = report.mistakes
    assert [mistake.probability for mistake in mistakes] == sorted((m.probability for m in mistakes), reverse=True)
    for mistake in mistakes:
        assert mistake.true == report.labels[mistake.index] != mistake.predicted
        assert mistake.predicted == report.logits[mistake.index].argmax()
        exact = np.exp(report.logits[mistake.index].astype(np.float64))
        assert mistake.probability == pytest.approx(exact.max() / exact.sum(), rel=1e-5)
    recall = np.nan_to_num(report.rates.recall, nan=1.0)
    assert [recall[k] for k in report.worst_classes(3)] == sorted(recall[recall < 1])[:3]


def direct_ece(probabilities, correct, bins=15):
    """Equation 3 of Guo et al., with the bins' bounds written out."""
    error = 0.0
    for number in range(bins):
        inside = (probabilities > number / bins) & (probabilities <= (number + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - probabilities[inside].mean())
    return error


@given(reports())
def test_ece_is_the_sum_over_fifteen_bins(report):
    powers = np.exp(report.logits - report.logits.max(1, keepdims=True))
    probabilities = (powers.max(1) / powers.sum(1)).astype(np.float64)
    edges = np.arange(16) / 15
    on_an_edge = np.abs(probabilities[:, None] - edges[None, 1:15]).min() < 1e-6
    correct = (report.logits.argmax(1) == report.labels).astype(np.float64)
    if not on_an_edge:
        assert report.ece == pytest.approx(direct_ece(probabilities, correct), abs=1e-5)
    assert 0 <= report.ece <= 1


def test_ece_by_hand():
    # bin (9/15, 10/15]: 0.65 wrong and 0.61 right; bin (13/15, 14/15]: 0.9 right, three times
    labels, predicted = [0, 1, 1, 0, 1], [1, 1, 1, 0, 1]
    report = with_probabilities(labels, predicted, [0.65, 0.61, 0.9, 0.9, 0.9])
    assert report.ece == pytest.approx(2 / 5 * abs(0.5 - 0.63) + 3 / 5 * abs(1 - 0.9), abs=1e-6)
    assert report.confidences.counts.tolist() == [0] * 9 + [2, 0, 0, 0, 3, 0]
    assert report.confidences.accuracy[[9, 13]].tolist() == [0.5, 1.0]


@pytest.mark.parametrize(("correct", "expected"), [(True, 0.0), (False, 1.0)])
def test_ece_of_a_predictor_that_is_certain(correct, expected):
    logits = np.eye(3)[[0, 1, 2]] * 200
    labels = np.array([0, 1, 2]) if correct else np.array([1, 2, 0])
    assert report_of(labels, logits).ece == expected


def test_a_class_that_is_never_predicted_and_one_without_samples():
    report = report_of([0, 0, 1], [[1, 0, 0], [1, 0, 0], [1, 0, 0]])
    found = report.as_dict(["a", "b", "c"])
    assert found["per_class"] == {
        "a": {"precision": pytest.approx(2 / 3), "recall": 1.0, "f1": pytest.approx(0.8), "support": 2},
        "b": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1},
        "c": {"precision": None, "recall": None, "f1": None, "support": 0},
    }
    assert found["balanced_accuracy"] == 0.5
    assert report.worst_classes(3) == [1]
    assert accuracy_score(report.labels, report.predicted) == pytest.approx(2 / 3)


def test_a_network_that_diverged_still_gives_valid_json():
    with warnings.catch_warnings(action="error"):
        found = report_of([0, 1], [[np.nan, np.nan], [0, 1]]).as_dict(["a", "b"])
    assert found["ece"] is None
    json.dumps(found, allow_nan=False)


def test_the_classes_with_the_most_mistakes_are_chosen_by_rows_and_columns():
    predicted = np.array([1, 1, 0, 2, 3, 3])
    found = report_of([0, 0, 0, 2, 3, 4], np.eye(5)[predicted])
    assert most_confused(found, 5) == [0, 1, 2, 3, 4]
    assert most_confused(found, 2) == [0, 1]
    assert most_confused(found, 4) == [0, 1, 3, 4]


def test_the_memory_of_a_report_does_not_grow_with_the_square_of_the_number_of_classes(tmp_path):
    """A matrix of 7,000 classes has 390 MB; drawing takes 160 MB whatever their number is."""
    classes = 7_000
    labels = np.arange(20) * 300
    logits = np.zeros((20, classes), np.float32)
    logits[np.arange(20), labels + (np.arange(20) < 5)] = 9
    found = report_of(labels, logits)
    names = [f"class {k}" for k in range(classes)]
    tracemalloc.start()
    values = found.as_dict(names)
    plot_confusion(found, names, "leader", tmp_path / "many.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200 * 2**20
    assert values["confusion"] is None
    assert values["balanced_accuracy"] == 15 / 20
    assert values["per_class"]["class 300"]["recall"] == 0
    assert (tmp_path / "many.png").stat().st_size < 2**20
