"""What classifiers on frozen features reach: a linear probe and k nearest neighbours, by scikit-learn."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from peerdistill.study.analyses.base.analysis import FIGURES, Analysis, DoesNotApply, Result

if TYPE_CHECKING:
    from peerdistill.study.analyses.base.analysed_run import AnalysedRun

NEIGHBOURS = 20
"""Number of neighbours that vote."""

_MOST_STEPS = 1_000


def linear_probe(
    train: Float[np.ndarray, "images width"],
    train_labels: Int[np.ndarray, " images"],
    test: Float[np.ndarray, "others width"],
) -> Int[np.ndarray, " others"]:
    """Return the classes that a logistic regression on standardised features predicts.

    scikit-learn's ``LogisticRegression`` with its default regularisation (C = 1).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=_MOST_STEPS))
    return np.asarray(classifier.fit(train, train_labels).predict(test))


def nearest_neighbours(
    train: Float[np.ndarray, "images width"],
    train_labels: Int[np.ndarray, " images"],
    test: Float[np.ndarray, "others width"],
) -> Int[np.ndarray, " others"]:
    """Return the classes of most of the 20 training images with the highest cosine similarity."""
    from sklearn.neighbors import KNeighborsClassifier

    classifier = KNeighborsClassifier(min(NEIGHBOURS, len(train)), metric="cosine")
    return np.asarray(classifier.fit(train, train_labels).predict(test))


def compute(run: "AnalysedRun") -> Result:
    """Return the accuracies on the evaluation set, beside that of the network's own classifier."""
    if run.is_few_shot:
        raise DoesNotApply(
            "the test classes of a few-shot run are not those of its training: peerdistill evaluate measures its "
            "features on episodes"
        )
    train, train_labels = run.training
    test = run.examined.features
    predicted = {
        "own classifier (%)": run.examined.predicted,
        "linear probe (%)": linear_probe(train, train_labels, test),
        "k-NN (%)": nearest_neighbours(train, train_labels, test),
    }
    figures = {name: 100 * float(np.mean(classes == run.labels)) for name, classes in predicted.items()}
    return {FIGURES: figures, "training images": len(train), "neighbours": min(NEIGHBOURS, len(train))}


ANALYSIS = Analysis("probe", "accuracy of a linear probe and of k-NN on frozen features", compute)
