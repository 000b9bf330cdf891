"""Evaluators: the scores of a cohort on one evaluation set.

Axes: P predictors (all peers, their ensemble, then other networks), B batch, N samples, C classes.
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
    def __call__(
        self, cohort: nn.Module, ensemble: nn.Module, others: Mapping[str, nn.Module] | None = None
    ) -> Evaluation:
        """Return the scores of all peers, their ensemble and other networks.

        Args:
            cohort: The peers.
            ensemble: Returns the logits of the ensemble (batch, classes) from the output of a cohort, such as the
                ``ensemble`` of a method. All modules are in evaluation mode during the call.
            others: Further networks by name, each a cohort of one peer, see :meth:`peerdistill.Cohort.single`.
        """

    def close(self) -> None:  # noqa: B027 (most evaluators hold nothing)
        """Release what the evaluator holds, such as worker processes."""


class ClassEvaluator(Evaluator):
    """Evaluates the classification of labelled images.

    Args:
        batches: Batches of the evaluation set; each sample occurs once. If they have a ``close`` method,
            :meth:`close` calls it.
        metrics: What is measured; by default all of :data:`peerdistill.evaluation.METRICS`.
        total: Returns the sum of a tensor over all processes, if each of several has a share of the samples. A report
            is then only that of the share.
    """

    def __init__(
        self,
        batches: Iterable[LabelledBatch],
        metrics: Mapping[str, Metric] = METRICS,
        total: Callable[[Tensor], Tensor] = lambda sums: sums,
    ):
        self._batches = batches
        self._metrics = metrics
        self._total = total

    def __call__(
        self, cohort: nn.Module, ensemble: nn.Module, others: Mapping[str, nn.Module] | None = None
    ) -> Evaluation:
        """Return the scores of all predictors; results are read from the device once, at the end.

        Raises:
            UserError: There are no samples.
        """
        return self._evaluate(cohort, ensemble, others or {})

    def report(
        self, cohort: nn.Module, ensemble: nn.Module, others: Mapping[str, nn.Module] | None = None
    ) -> EvaluationReport:
        """Return the scores, and where leader and ensemble are right and wrong, from one pass over the images.

        The logits of leader and ensemble are kept in the memory of the CPU: 8 bytes per image and class.

        Raises:
            UserError: There are no samples.
        """
        labels: list[Tensor] = []
        logits: list[Tensor] = []
        predicted: list[Tensor] = []

        def keep(predictions: Predictions, peers: int) -> None:
            leader_and_ensemble = slice(peers - 1, peers + 1)
            labels.append(predictions.labels.cpu())
            logits.append(predictions.logits[leader_and_ensemble].float().cpu())
            predicted.append(predictions.ranked[leader_and_ensemble, :, 0].cpu())

        evaluation = self._evaluate(cohort, ensemble, others or {}, keep)
        leader, together = (
            ClassReport(torch.cat(labels).numpy(), logits_NC.numpy(), predicted_N.numpy())
            for logits_NC, predicted_N in zip(torch.cat(logits, dim=1), torch.cat(predicted, dim=1), strict=True)
        )
        return EvaluationReport(evaluation, leader, together)

    @torch.no_grad()
    def _evaluate(
        self,
        cohort: nn.Module,
        ensemble: nn.Module,
        others: Mapping[str, nn.Module],
        keep: Callable[[Predictions, int], None] | None = None,
    ) -> Evaluation:
        """Return the scores; ``keep`` is called with the predictions of every batch and the number of peers."""
        sums: list[Float[Tensor, "metrics predictors"]] = []
        samples, peers, found = 0, 0, {}
        with evaluating(cohort, ensemble, *others.values()):
            for batch in self._batches:
                out = cohort(batch.images)
                beside = [other(batch.images).logits for other in others.values()]
                predictions = Predictions(torch.cat([out.logits, ensemble(out)[None], *beside]), batch.labels)
                peers = len(out.logits)
                found = self._measured(predictions.logits.shape[-1])
                sums.append(torch.stack([metric.measure(predictions).sum(1).float() for metric in found.values()]))
                samples += len(batch.labels)
                if keep is not None:
                    keep(predictions, peers)
        if not samples:
            raise UserError("there are no images to evaluate on")
        totals = self._total(torch.stack(sums).cpu().double().sum(0))
        samples = int(self._total(torch.tensor(samples)))
        scales = torch.tensor([metric.scale for metric in found.values()], dtype=torch.float64)
        means = (scales[:, None] * totals / samples).T.tolist()
        scores = [Scores(dict(zip(found, values, strict=True))) for values in means]
        others_scores = dict(zip(others, scores[peers + 1 :], strict=True))
        return Evaluation(samples, tuple(scores[:peers]), scores[peers], others=others_scores)

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
