"""Where a predictor is right and wrong: rates per class, confusion, calibration and mistakes.

Axes: N samples, C classes.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int, Int64

from peerdistill.evaluation.scores import Evaluation

BINS = 15
"""Number of bins of the calibration error, as in Guo et al., "On Calibration of Modern Neural Networks", ICML 2017."""

MATRIX_CLASSES = 2000
"""Most classes of which the whole confusion matrix is written or drawn: of 100,000 classes it would take 80 GB."""


@dataclass(frozen=True, eq=False)
class Rates:
    """Precision, recall and F1 of every class, 0..1, by scikit-learn.

    Precision and F1 of a class that was never predicted are 0. All three are NaN for a class without samples.

    Attributes:
        precision: Share of the samples predicted as the class that belong to it.
        recall: Share of the samples of the class that are predicted as it.
        f1: Harmonic mean of precision and recall.
        support: Number of samples of the class.
    """

    precision: Float[np.ndarray, " classes"]
    recall: Float[np.ndarray, " classes"]
    f1: Float[np.ndarray, " classes"]
    support: Int[np.ndarray, " classes"]


@dataclass(frozen=True, eq=False)
class Confidences:
    """Samples in bins of equal width by the probability of their predicted class; bin m is (m / M, (m + 1) / M].

    Attributes:
        counts: Number of samples in each bin.
        confidence: Mean probability of the predicted class in each bin; NaN for an empty bin.
        accuracy: Share of correct predictions in each bin; NaN for an empty bin.
    """

    counts: Int[np.ndarray, " bins"]
    confidence: Float[np.ndarray, " bins"]
    accuracy: Float[np.ndarray, " bins"]

    @property
    def error(self) -> float:
        """Expected calibration error, 0..1: the mean of abs(accuracy - confidence), weighted by ``counts``.

        Equation 3 of Guo et al., ICML 2017.
        """
        filled = self.counts > 0
        gaps = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float((self.counts[filled] * gaps).sum() / self.counts.sum())


@dataclass(frozen=True)
class Mistake:
    """A sample whose predicted class is wrong.

    Attributes:
        index: Row of the sample in the evaluation set.
        true: Its class.
        predicted: The predicted class.
        probability: Probability of the predicted class, 0..1.
    """

    index: int
    true: int
    predicted: int
    probability: float


class Outcomes(ABC):
    """Where one predictor is right and wrong on an evaluation set, from labels, predictions and their probabilities."""

    labels: Int64[np.ndarray, " samples"]
    predicted: Int64[np.ndarray, " samples"]

    @property
    @abstractmethod
    def classes(self) -> int:
        """Number of classes."""

    @cached_property
    @abstractmethod
    def probabilities(self) -> Float32[np.ndarray, " samples"]:
        """Probability of the predicted class of every sample."""

    @cached_property
    def cells(self) -> Int64[np.ndarray, "cells 3"]:
        """True class, predicted class and count of each cell of the confusion matrix that is not empty, in its order.

        There are at most as many as samples, for any number of classes.
        """
        pairs, counts = np.unique(self.labels * self.classes + self.predicted, return_counts=True)
        return np.stack([pairs // self.classes, pairs % self.classes, counts], axis=1)

    @cached_property
    def confusion(self) -> Int[np.ndarray, "classes classes"]:
        """Number of samples by true class (rows) and predicted class (columns).

        Its size is the square of the number of classes; :attr:`cells` has the same counts.
        """
        from sklearn.metrics import confusion_matrix  # here and below: training does not need these slow imports

        return confusion_matrix(self.labels, self.predicted, labels=range(self.classes))

    def confusion_of(self, classes: Sequence[int]) -> Int64[np.ndarray, "shown shown"]:
        """Return the confusion matrix of some classes: the samples that belong to one and are predicted as one."""
        place = np.full(self.classes, -1)
        place[classes] = np.arange(len(classes))
        true, predicted, counts = self.cells.T
        found = np.zeros((len(classes), len(classes)), dtype=np.int64)
        inside = (place[true] >= 0) & (place[predicted] >= 0)
        found[place[true[inside]], place[predicted[inside]]] = counts[inside]
        return found

    @cached_property
    def rates(self) -> Rates:
        """Precision, recall and F1 of every class."""
        from sklearn.metrics import precision_recall_fscore_support

        zero: Any = 0  # scikit-learn annotates it as a string
        found = precision_recall_fscore_support(
            self.labels, self.predicted, labels=range(self.classes), zero_division=zero
        )
        # scikit-learn returns floats if no sample is predicted correctly
        support = np.bincount(self.labels, minlength=self.classes)
        precision, recall, f1 = (np.where(support > 0, rate, np.nan) for rate in found[:3])
        return Rates(precision, recall, f1, support)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that have samples, 0..1, as scikit-learn's ``balanced_accuracy_score``."""
        return float(np.nanmean(self.rates.recall))

    @cached_property
    def confidences(self) -> Confidences:
        """The samples in 15 bins by the probability of their predicted class."""
        probabilities = self.probabilities.astype(np.float64)
        correct = (self.predicted == self.labels).astype(np.float64)
        with np.errstate(invalid="ignore"):  # 0 / 0 in empty bins, and NaN of a network that diverged
            bins = np.clip(np.ceil(probabilities * BINS).astype(int) - 1, 0, BINS - 1)
            counts, confidence, correct = (
                np.bincount(bins, weights, minlength=BINS) for weights in (None, probabilities, correct)
            )
            return Confidences(counts, confidence / counts, correct / counts)

    @property
    def ece(self) -> float:
        """Expected calibration error, 0..1, see :attr:`Confidences.error`."""
        return self.confidences.error

    @cached_property
    def mistakes(self) -> tuple[Mistake, ...]:
        """All mistakes, the most confident first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        order = wrong[np.argsort(-self.probabilities[wrong], kind="stable")]
        columns = (order, self.labels[order], self.predicted[order], self.probabilities[order])
        return tuple(Mistake(*values) for values in zip(*(column.tolist() for column in columns), strict=True))

    def worst_classes(self, count: int) -> list[int]:
        """Return up to ``count`` classes with the lowest recall below 1, lowest first."""
        recall = np.nan_to_num(self.rates.recall, nan=1.0)
        return [int(k) for k in np.argsort(recall, kind="stable")[:count] if recall[k] < 1]

    def as_dict(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return ``balanced_accuracy``, ``ece``, ``per_class`` and ``confusion`` for JSON; None stands for NaN.

        ``confusion`` is None for more than 2,000 classes.
        """
        columns = {name: values.tolist() for name, values in vars(self.rates).items()}
        return {
            "balanced_accuracy": _finite(self.balanced_accuracy),
            "ece": _finite(self.ece),
            "per_class": {
                name: {rate: _finite(values[k]) for rate, values in columns.items()}
                for k, name in enumerate(class_names)
            },
            "confusion": self.confusion.tolist() if self.classes <= MATRIX_CLASSES else None,
        }


def most_confused(outcomes: Outcomes, most: int) -> list[int]:
    """Return the classes with the most mistakes, in their order: all classes if there are not more than ``most``."""
    if outcomes.classes <= most:
        return list(range(outcomes.classes))
    true, predicted, counts = outcomes.cells[outcomes.cells[:, 0] != outcomes.cells[:, 1]].T
    wrong = sum(np.bincount(of, weights=counts, minlength=outcomes.classes) for of in (true, predicted))
    return sorted(np.argsort(-np.asarray(wrong), kind="stable")[:most].tolist())


@dataclass(frozen=True, eq=False)
class KeptOutcomes(Outcomes):
    """Outcomes of which the logits were not kept, such as those in the predictions of a run.

    Attributes:
        labels: Class of every sample.
        predicted: Predicted class of every sample.
        probability: Probability of the predicted class of every sample.
        count: Number of classes.
    """

    labels: Int64[np.ndarray, " samples"]
    predicted: Int64[np.ndarray, " samples"]
    probability: Float32[np.ndarray, " samples"]
    count: int

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.count

    @cached_property
    def probabilities(self) -> Float32[np.ndarray, " samples"]:
        """Probability of the predicted class of every sample."""
        return self.probability


@dataclass(frozen=True, eq=False)
class ClassReport(Outcomes):
    """Where one predictor is right and wrong on an evaluation set.

    Attributes:
        labels: Class of every sample.
        logits: Class logits of every sample.
        predicted: Predicted class of every sample, the one with the highest logit.

    Example:
        >>> logits = np.array([[2.0, 0.0], [0.0, 3.0], [0.0, 1.0]], dtype=np.float32)
        >>> report = ClassReport(labels=np.array([0, 1, 0]), logits=logits, predicted=logits.argmax(1))
        >>> report.confusion
        array([[1, 1],
               [0, 1]])
        >>> report.rates.recall
        array([0.5, 1. ])
        >>> [mistake.index for mistake in report.mistakes]
        [2]
    """

    labels: Int64[np.ndarray, " samples"]
    logits: Float32[np.ndarray, "samples classes"]
    predicted: Int64[np.ndarray, " samples"]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.logits.shape[1]

    @cached_property
    def probabilities(self) -> Float32[np.ndarray, " samples"]:
        """Probability of the predicted class of every sample, by the softmax over all classes."""
        from scipy.special import softmax  # slow to import

        return np.take_along_axis(softmax(self.logits, axis=1), self.predicted[:, None], axis=1)[:, 0]


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Scores of a cohort, and where its leader and its ensemble are right and wrong.

    Attributes:
        evaluation: Scores of all peers and the ensemble.
        leader: The report of the leader.
        ensemble: The report of the ensemble.
    """

    evaluation: Evaluation
    leader: ClassReport
    ensemble: ClassReport

    def as_dict(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return the values for JSON: those of the evaluation, and the reports as further keys of two predictors."""
        values = self.evaluation.as_dict()
        for name, report in (("leader", self.leader), ("ensemble", self.ensemble)):
            values[name] |= report.as_dict(class_names)
        return values


def _finite(value: float | int) -> float | int | None:
    return value if math.isfinite(value) else None
