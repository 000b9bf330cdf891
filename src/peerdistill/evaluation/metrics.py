"""Metrics: one function each, found by the decorator :func:`metric`.

Axes: P predictors (all peers, their ensemble, then other networks), B batch, C classes, K ranks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool, Float, Int
from torch import Tensor

_RANKS = 5


@dataclass(frozen=True, eq=False)
class Predictions:
    """What all predictors predict for one batch.

    Attributes:
        logits: Class logits of every predictor.
        labels: Class of every sample.
    """

    logits: Float[Tensor, "predictors batch classes"]
    labels: Int[Tensor, " batch"]

    @cached_property
    def ranked(self) -> Int[Tensor, "predictors batch ranks"]:
        """The five best classes, best first."""
        return self.logits.topk(min(_RANKS, self.logits.shape[-1]), dim=-1).indices

    @cached_property
    def is_at_rank(self) -> Bool[Tensor, "predictors batch ranks"]:
        """Whether the class at each of the five best ranks is the label."""
        return self.ranked == self.labels[:, None]


@dataclass(frozen=True)
class Metric:
    """A mean over samples.

    Attributes:
        name: Its name in results.
        measure: Returns its value for every predictor and sample, a float or a bool.
        scale: Factor of the mean: 100 for a percentage.
        min_classes: Fewest classes for which it is measured.
    """

    name: str
    measure: Callable[[Predictions], Tensor]
    scale: float = 1.0
    min_classes: int = 2


METRICS: dict[str, Metric] = {}
"""All metrics by name, in the order of their definition."""


def metric(
    *, scale: float = 1.0, min_classes: int = 2
) -> Callable[[Callable[[Predictions], Tensor]], Callable[[Predictions], Tensor]]:
    """Return a decorator that adds a function to :data:`METRICS` under its own name.

    Every evaluation then measures it, and results, ``metrics.jsonl`` and TensorBoard hold it.

    Args:
        scale: Factor of the mean over samples: 100 for a percentage.
        min_classes: Fewest classes for which the metric is measured.

    Example:
        >>> from torch.nn import functional as F
        >>> @metric()
        ... def true_class_probability(predictions):
        ...     probabilities = F.softmax(predictions.logits, dim=-1)
        ...     return probabilities[:, range(len(predictions.labels)), predictions.labels]
        >>> METRICS.pop("true_class_probability").scale
        1.0
    """

    def register(measure: Callable[[Predictions], Tensor]) -> Callable[[Predictions], Tensor]:
        METRICS[measure.__name__] = Metric(measure.__name__, measure, scale, min_classes)
        return measure

    return register


@metric(scale=100.0)
def top1(predictions: Predictions) -> Bool[Tensor, "predictors batch"]:
    """Return whether the best class is the label."""
    return predictions.is_at_rank[..., 0]


@metric(scale=100.0, min_classes=_RANKS + 1)
def top5(predictions: Predictions) -> Bool[Tensor, "predictors batch"]:
    """Return whether the label is among the five best classes."""
    return predictions.is_at_rank.any(-1)
