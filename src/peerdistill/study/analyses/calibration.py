"""Whether probabilities can be trusted: calibration error, reliability, and proper scores.

Axes: N images, C classes.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from peerdistill.evaluation.report import BINS, ClassReport, Confidences
from peerdistill.study.analyses.base.analysis import FIGURES, NETWORKS, Analysis, DoesNotApply, Result
from peerdistill.study.analyses.base.numbers import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from peerdistill.study.analyses.base.analysed_run import AnalysedRun, NetworkOutputs


def negative_log_likelihood(
    log_probabilities: Float[np.ndarray, "images classes"], labels: Int[np.ndarray, " images"]
) -> float:
    """Return the mean of -log p(true class), in nats."""
    return float(-log_probabilities[np.arange(len(labels)), labels].mean(dtype=np.float64))


def brier_score(log_probabilities: Float[np.ndarray, "images classes"], labels: Int[np.ndarray, " images"]) -> float:
    """Return the mean over images of the squared distance of the probabilities from the true class, 0..2.

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950: the sum over all classes.
    """
    wrong_by_NC = np.exp(log_probabilities.astype(np.float64))
    wrong_by_NC[np.arange(len(labels)), labels] -= 1
    return float(np.square(wrong_by_NC).sum(1).mean())


def compute(run: "AnalysedRun") -> Result:
    """Return error, calibration and proper scores of every network, and the reliability bins of each."""
    if run.is_few_shot:
        raise DoesNotApply("a few-shot run has no fixed classes, and so no probabilities to calibrate")
    figures, bins = {}, {}
    for name, network in run.networks.items():
        report = _report(network, run.labels)
        figures[name], bins[name] = _figures(network, report), _bins(report.confidences)
    examined = _report(run.examined, run.labels)
    return {FIGURES: _figures(run.examined, examined), NETWORKS: figures, "bins": bins}


def _report(network: "NetworkOutputs", labels: np.ndarray) -> ClassReport:
    assert network.logits is not None
    return ClassReport(labels, network.logits, network.predicted)


def _figures(network: "NetworkOutputs", report: ClassReport) -> dict[str, float | None]:
    labels = report.labels
    return {
        "error (%)": finite(100 * np.mean(report.predicted != labels)),
        "mean confidence (%)": finite(100 * report.probabilities.mean(dtype=np.float64)),
        "ECE (%)": finite(100 * report.ece),
        "NLL (nats)": finite(negative_log_likelihood(network.log_probabilities, labels)),
        "Brier score": finite(brier_score(network.log_probabilities, labels)),
    }


def _bins(found: Confidences) -> dict[str, list[float | None] | list[int]]:
    confidence, accuracy = ([finite(value) for value in values] for values in (found.confidence, found.accuracy))
    return {"counts": found.counts.tolist(), "confidence": confidence, "accuracy": accuracy}


def draw(results: Mapping[str, Result]) -> "Figure":
    """Draw accuracy against confidence of every network, a panel for each run."""
    from peerdistill.evaluation.plotting import COLOURS
    from peerdistill.study.plotting import panels, short

    figure, axes = panels([short(run) for run in results], (4.0, 3.8))
    for one, result in zip(axes, results.values(), strict=True):
        one.plot([0, 1], [0, 1], color="#999999", linestyle="--", linewidth=1, label="perfect calibration")
        for number, (name, bins) in enumerate(result["bins"].items()):
            is_peer = name.startswith("peer:")
            confidence, accuracy = (np.array(bins[key], dtype=float) for key in ("confidence", "accuracy"))
            filled = np.array(bins["counts"]) > 0
            one.plot(
                confidence[filled],
                accuracy[filled],
                color=COLOURS[number % len(COLOURS)],
                marker="o",
                markersize=3,
                linewidth=0.8 if is_peer else 1.6,
                label=f"{name}, ECE {result[NETWORKS][name]['ECE (%)']:.1f} %",
            )
        one.set(xlabel=f"confidence, {BINS} bins", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        one.legend(frameon=False, fontsize=7)
    return figure


ANALYSIS = Analysis("calibration", "calibration error, reliability, likelihood and Brier score", compute, draw)
