"""Evaluators: the scores of a cohort on one evaluation set.

Axes: P predictors (all peers, then their ensemble), B batch, N samples, C classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from peerdistill.errors import UserError
from peerdistill.evaluation.metrics import METRICS, Metric, Predictions
from peerdistill.evaluation.report import ClassReport, EvaluationReport
from peerdistill.evaluation.scores import Evaluation, Scores

_LEADER_AND_ENSEMBLE = slice(-2, None)
"""The last two predictors: the last peer is the leader."""


@runtime_checkable
class LabelledBatch(Protocol):
    """What an evaluator reads of a batch."""

    @property
    def images(self) -> Tensor:
        """Normalised images (B, channels, height, width)."""
        ...

    @property
    def labels(self) -> Tensor:
        """Class of every image (B,)."""
        ...


class Evaluator(ABC):
    """Measures a cohort on one evaluation set, as ``evaluator(cohort, ensemble)``."""

    @abstractmethod
    def __call__(self, cohort: nn.Module, ensemble: nn.Module) -> Evaluation:
        """Return the scores of all peers and their ensemble.

        Args:
            cohort: The peers.
            ensemble: Returns the logits of the ensemble (batch, classes) from the output of a cohort, such as the
                ``ensemble`` of a method. Cohort and ensemble are in evaluation mode during the call.
        """

    def close(self) -> None:  # noqa: B027 (most evaluators hold nothing)
        """Release what the evaluator holds, such as worker processes."""


class ClassEvaluator(Evaluator):
    """Evaluates the classification of labelled images.

    Args:
        batches: Batches of the evaluation set; each sample occurs once. If they have a ``close`` method,
            :meth:`close` calls it.
        metrics: What is measured; by default all of :data:`peerdistill.evaluation.METRICS`.
    """

    def __init__(self, batches: Iterable[LabelledBatch], metrics: Mapping[str, Metric] = METRICS):
        self._batches = batches
        self._metrics = metrics

    def __call__(self, cohort: nn.Module, ensemble: nn.Module) -> Evaluation:
        """Return the scores of all peers and their ensemble; results are read from the device once, at the end.

        Raises:
            UserError: There are no samples.
        """
        return self._evaluate(cohort, ensemble)

    def report(self, cohort: nn.Module, ensemble: nn.Module) -> EvaluationReport:
        """Return the scores, and where leader and ensemble are right and wrong, from one pass over the images.

        The logits of leader and ensemble are kept in the memory of the CPU: 8 bytes per image and class.

        Raises:
            UserError: There are no samples.
        """
        labels: list[Tensor] = []
        logits: list[Tensor] = []
        predicted: list[Tensor] = []

        def keep(predictions: Predictions) -> None:
            labels.append(predictions.labels.cpu())
            logits.append(predictions.logits[_LEADER_AND_ENSEMBLE].float().cpu())
            predicted.append(predictions.ranked[_LEADER_AND_ENSEMBLE, :, 0].cpu())

        evaluation = self._evaluate(cohort, ensemble, keep)
        leader, together = (
            ClassReport(torch.cat(labels).numpy(), logits_NC.numpy(), predicted_N.numpy())
            for logits_NC, predicted_N in zip(torch.cat(logits, dim=1), torch.cat(predicted, dim=1), strict=True)
        )
        return EvaluationReport(evaluation, leader, together)

    @torch.no_grad()
    def _evaluate(
        self, cohort: nn.Module, ensemble: nn.Module, keep: Callable[[Predictions], None] | None = None
    ) -> Evaluation:
        """Return the scores; ``keep`` is called with the predictions of every batch."""
        sums: list[Float[Tensor, "metrics predictors"]] = []
        samples, found = 0, {}
        with evaluating(cohort, ensemble):
            for batch in self._batches:
                out = cohort(batch.images)
                predictions = Predictions(torch.cat([out.logits, ensemble(out)[None]]), batch.labels)
                found = self._measured(predictions.logits.shape[-1])
                sums.append(torch.stack([metric.measure(predictions).sum(1).float() for metric in found.values()]))
                samples += len(batch.labels)
                if keep is not None:
                    keep(predictions)
        if not samples:
            raise UserError("there are no images to evaluate on")
        totals = torch.stack(sums).cpu().double().sum(0)
        scales = torch.tensor([metric.scale for metric in found.values()], dtype=torch.float64)
        means = (scales[:, None] * totals / samples).T.tolist()
        *peers, together = [Scores(dict(zip(found, values, strict=True))) for values in means]
        return Evaluation(samples, tuple(peers), together)

    def _measured(self, classes: int) -> dict[str, Metric]:
        return {name: metric for name, metric in self._metrics.items() if classes >= metric.min_classes}

    def close(self) -> None:
        """Stop the workers of the batches."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode, and restore their modes afterwards."""
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.train(mode)
